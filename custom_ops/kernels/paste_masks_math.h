// Where a pixel of the image reads a pasted mask, and what it reads: shared by the CPU and the GPU,
// so that both set the same pixels.
#ifndef MRCNN_KERNELS_PASTE_MASKS_MATH_H_
#define MRCNN_KERNELS_PASTE_MASKS_MATH_H_

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace mrcnn {

// A box and its mask along one axis. extent is 0 if the box covers nothing along it.
struct PasteAxis {
  float low;
  float extent;
  float cells;
};

// The two neighbouring cells that a pixel reads, and how much each counts. A cell outside the mask
// has weight 0 and an index that is safe to read.
struct PasteTaps {
  int64_t first;
  int64_t second;
  float first_weight;
  float second_weight;
};

MRCNN_HOST_DEVICE inline bool IsFinite(float value) { return std::fabs(value) <= 3.402823466e38f; }

MRCNN_HOST_DEVICE inline PasteAxis MakePasteAxis(float low, float high, int64_t cells) {
  const float extent = high - low;
  const bool usable =
      IsFinite(low) && IsFinite(high) && IsFinite(extent) && extent > 0.0f && cells > 0;
  return {usable ? low : 0.0f, usable ? extent : 0.0f, static_cast<float>(cells)};
}

// The boxes' coordinates are x1, y1, x2, y2. If one is not finite, both axes are empty.
MRCNN_HOST_DEVICE inline void MakePasteAxes(const float* box, int64_t mask_height,
                                            int64_t mask_width, PasteAxis* down,
                                            PasteAxis* across) {
  *down = MakePasteAxis(box[1], box[3], mask_height);
  *across = MakePasteAxis(box[0], box[2], mask_width);
  if (!(down->extent > 0.0f && across->extent > 0.0f)) {
    down->extent = 0.0f;
    across->extent = 0.0f;
  }
}

// The centre of a pixel on the mask, where cell i has its centre at i. It never falls from one
// pixel to the next, rounding included: every step is monotonic. May be infinite, never NaN.
MRCNN_HOST_DEVICE inline float PasteCoordinate(const PasteAxis& axis, int64_t pixel) {
  const float centre = static_cast<float>(pixel) + 0.5f;
  const float along = (centre - axis.low) / axis.extent * 2.0f - 1.0f;
  return ((along + 1.0f) * axis.cells - 1.0f) / 2.0f;
}

// Whether a pixel reads any cell of the mask; those that do are an interval of the image.
MRCNN_HOST_DEVICE inline bool PasteCovers(const PasteAxis& axis, int64_t pixel) {
  if (!(axis.extent > 0.0f)) {
    return false;
  }
  const float at = PasteCoordinate(axis, pixel);
  return at > -1.0f && at < axis.cells;
}

// The first of `size` pixels along the axis whose centre is at or beyond `at` (or only beyond it),
// `size` if there is none. By bisection rather than by the inverse formula, whose rounding differs
// and which overflows for boxes far away.
MRCNN_HOST_DEVICE inline int64_t PasteFirstPixel(const PasteAxis& axis, int64_t size, float at,
                                                 bool beyond) {
  int64_t low = 0;
  int64_t high = size;
  while (low < high) {
    const int64_t middle = low + (high - low) / 2;
    const float coordinate = PasteCoordinate(axis, middle);
    if (coordinate > at || (!beyond && coordinate == at)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}

// The pixels that PasteCovers: [begin, end).
struct PasteSpan {
  int64_t begin;
  int64_t end;
};

MRCNN_HOST_DEVICE inline PasteSpan MakePasteSpan(const PasteAxis& axis, int64_t size) {
  if (!(axis.extent > 0.0f)) {
    return {0, 0};
  }
  return {PasteFirstPixel(axis, size, -1.0f, true), PasteFirstPixel(axis, size, axis.cells, false)};
}

// Only for a pixel that PasteCovers.
MRCNN_HOST_DEVICE inline PasteTaps MakePasteTaps(const PasteAxis& axis, int64_t pixel) {
  const float at = PasteCoordinate(axis, pixel);
  const float below = std::floor(at);
  const float above = below + 1.0f;
  PasteTaps taps;
  const bool has_first = below >= 0.0f;
  const bool has_second = above < axis.cells;
  taps.first = has_first ? static_cast<int64_t>(below) : 0;
  taps.second = has_second ? static_cast<int64_t>(above) : static_cast<int64_t>(axis.cells) - 1;
  taps.first_weight = has_first ? 1.0f - std::fabs(at - below) : 0.0f;
  taps.second_weight = has_second ? 1.0f - std::fabs(at - above) : 0.0f;
  return taps;
}

// A probability that is not finite counts as 0 and spoils none of its neighbours.
MRCNN_HOST_DEVICE inline float PasteProbability(float probability) {
  return IsFinite(probability) ? probability : 0.0f;
}

MRCNN_HOST_DEVICE inline float PasteBlend(float first_weight, float first, float second_weight,
                                          float second) {
  return first_weight * first + second_weight * second;
}

// The probability at a pixel: down the rows first, then across, an order that every kernel keeps.
MRCNN_HOST_DEVICE inline float PasteValue(const float* mask, int64_t mask_width,
                                          const PasteTaps& rows, const PasteTaps& columns) {
  const float* upper = mask + rows.first * mask_width;
  const float* lower = mask + rows.second * mask_width;
  const float left = PasteBlend(rows.first_weight, PasteProbability(upper[columns.first]),
                                rows.second_weight, PasteProbability(lower[columns.first]));
  const float right = PasteBlend(rows.first_weight, PasteProbability(upper[columns.second]),
                                 rows.second_weight, PasteProbability(lower[columns.second]));
  return PasteBlend(columns.first_weight, left, columns.second_weight, right);
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_PASTE_MASKS_MATH_H_
