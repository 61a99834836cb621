// Random inputs that several native tests share.
#ifndef MRCNN_TESTS_NATIVE_RANDOM_CASES_H_
#define MRCNN_TESTS_NATIVE_RANDOM_CASES_H_

#include <algorithm>
#include <cmath>
#include <vector>

#include "check.h"
#include "roi_align.h"

namespace mrcnn {

// An allocation of its own for each array: the sanitizer sees a step over its end.
template <class T>
struct Array {
  explicit Array(int64_t size) : size(size), data(new T[size]()) {}
  Array(const Array&) = delete;
  ~Array() { delete[] data; }
  T& operator[](int64_t i) { return data[i]; }
  const int64_t size;
  T* const data;
};

// Boxes around a square of `extent` pixels: most of them ordinary, some snapped to whole numbers
// and so often equal, some inverted, empty or hostile.
inline void FillBoxes(Random& random, float extent, Array<float>& boxes) {
  const int64_t kind = random.Integer(0, 3);
  for (int64_t i = 0; i + 3 < boxes.size; i += 4) {
    float* box = boxes.data + i;
    for (int axis = 0; axis < 2; ++axis) {
      box[axis] = random.Uniform(-0.2f * extent, extent);
      box[axis + 2] = box[axis] + random.LogUniform(0.01f, 1.0f) * extent;
      if (kind == 1 || random.OneIn(8)) {
        box[axis] = std::floor(box[axis] * 0.25f) * 4.0f;
        box[axis + 2] = std::ceil(box[axis + 2] * 0.25f) * 4.0f;
      }
      if (random.OneIn(16)) std::swap(box[axis], box[axis + 2]);
      if (random.OneIn(16)) box[axis + 2] = box[axis];
    }
    if (kind == 2 || random.OneIn(12)) box[random.Integer(0, 3)] = random.Hostile();
    if (i >= 4 && random.OneIn(6)) std::copy_n(box - 4, 4, box);
  }
}

}  // namespace mrcnn

#endif  // MRCNN_TESTS_NATIVE_RANDOM_CASES_H_
