// Boxes by size and place, so that one is compared only with those that resemble it.
// For the CPU.
#ifndef MRCNN_KERNELS_BOX_GRID_H_
#define MRCNN_KERNELS_BOX_GRID_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <vector>

#include "box_math.h"
#include "simd.h"

namespace mrcnn {

// Boxes of w1 x h1 and w2 x h2 whose IoU is above t share an area above t / (1 + t) of the sum of
// theirs. Divided by the smaller height, the shared width is above t / (1 + t) of w1 + w2. So
// widths differ by a factor of 1 / t at most, and centres by less than (w1 + w2) / 2 * (1 - t) / (1
// + t); heights likewise. Boxes are hashed by the powers of two below their sides and by the place
// of their centre on a grid with cells of that size. Different places may share a bucket: every box
// that is found is compared.
class BoxGrid {
 public:
  // Below it a box has so many neighbours that comparing it with all boxes is faster.
  static constexpr float kLowestThreshold = 0.45f;

  // Whether float32 and int32 can tell sizes and places apart, with a margin far above rounding.
  static bool Fits(const Box& box) {
    constexpr float kFarthest = 1 << 20, kShortest = 1.0f / (1 << 10);
    return box.x1 >= -kFarthest && box.y1 >= -kFarthest && box.x2 <= kFarthest &&
           box.y2 <= kFarthest && box.x2 - box.x1 >= kShortest && box.y2 - box.y1 >= kShortest;
  }

  // `box` fits.
  void Add(const Box& box, float area) {
    if (2 * nodes_.size() >= first_.size()) Grow();
    nodes_.push_back({box, area, kNone});
    Link(static_cast<int32_t>(nodes_.size()) - 1);
  }

  // Whether a box in the grid overlaps `box`, which fits, by an IoU above the threshold, which is
  // kLowestThreshold or more.
  bool Suppress(const Box& box, float area, float iou_threshold) const {
    Ranges x, y;
    Narrow::Float own;
    Load(reinterpret_cast<const float*>(&box), own);
    x.Find(box.x1, box.x2, iou_threshold);
    y.Find(box.y1, box.y2, iou_threshold);
    for (int i = 0; i < x.count; ++i) {
      for (int j = 0; j < y.count; ++j) {
        for (uint32_t row = y.first[j]; row <= y.last[j]; ++row) {
          for (uint32_t column = x.first[i]; column <= x.last[i]; ++column) {
            const uint32_t bucket = Bucket(x.exponent[i], y.exponent[j], column, row);
            for (int32_t at = first_[bucket]; at != kNone; at = nodes_[at].next) {
              const Node& node = nodes_[at];
              if (IouAbove(own, area, node, iou_threshold)) return true;
            }
          }
        }
      }
    }
    return false;
  }

 private:
  static constexpr int32_t kNone = -1;

  struct Node {
    Box box;
    float area;
    int32_t next;
  };

  // As BoxIou, of boxes that have an area; a vector, because branches would be mispredicted.
  static MRCNN_INLINE bool IouAbove(const Narrow::Float& box, float area, const Node& node,
                                    float iou_threshold) {
    Narrow::Float other;
    const Narrow::Float zero = {};
    Load(reinterpret_cast<const float*>(&node.box), other);
    const Narrow::Float low = box < other ? other : box, high = other < box ? other : box;
    Narrow::Float sides = {high[2] - low[0], high[3] - low[1]};
    sides = sides > zero ? sides : zero;
    const float shared = sides[0] * sides[1];
    return shared / (area + node.area - shared) > iou_threshold;
  }

  // The sizes along one axis that a box may be suppressed by, and the cells for each.
  struct Ranges {
    void Find(float low, float high, float iou_threshold) {
      const float side = high - low;
      const double centre = 0.5 * (static_cast<double>(low) + high);
      // A margin far wider than the roundings in between.
      const double threshold = iou_threshold * (1.0 - 1e-5);
      const double shortest = side * threshold, longest = side / threshold;
      for (int e = Exponent(static_cast<float>(shortest));
           e <= Exponent(static_cast<float>(longest)); ++e) {
        const double other = std::min(Power(e + 1), longest);
        const double reach = 0.5 * (side + other) * (1.0 - threshold) / (1.0 + threshold);
        exponent[count] = e;
        first[count] = Cell(centre - reach, e);
        last[count] = Cell(centre + reach, e);
        ++count;
      }
    }

    // (1 / kLowestThreshold)^2 spans less than three powers of two.
    int count = 0;
    int exponent[4];
    uint32_t first[4], last[4];
  };

  // Of a normal, positive number: 2^e <= value < 2^(e + 1).
  static int Exponent(float value) {
    uint32_t bits;
    std::memcpy(&bits, &value, sizeof(bits));
    return static_cast<int>(bits >> 23) - 127;
  }

  static double Power(int exponent) {
    const uint64_t bits = static_cast<uint64_t>(exponent + 1023) << 52;
    double power;
    std::memcpy(&power, &bits, sizeof(power));
    return power;
  }

  // Grows with `place`; rounding leaves that so.
  static uint32_t Cell(double place, int exponent) {
    return static_cast<uint32_t>(static_cast<int64_t>(place * Power(-exponent) + 0x1p31));
  }

  uint32_t Bucket(int x_exponent, int y_exponent, uint32_t column, uint32_t row) const {
    uint32_t hash = static_cast<uint32_t>(64 * x_exponent + y_exponent) * 0x9e3779b1u;
    hash = (hash ^ row) * 0x85ebca6bu;
    // Neighbouring columns lie in neighbouring buckets.
    return ((hash >> 8) + column) & mask_;
  }

  void Link(int32_t at) {
    Node& node = nodes_[at];
    const Box& box = node.box;
    const int x = Exponent(box.x2 - box.x1), y = Exponent(box.y2 - box.y1);
    const uint32_t column = Cell(0.5 * (static_cast<double>(box.x1) + box.x2), x);
    const uint32_t row = Cell(0.5 * (static_cast<double>(box.y1) + box.y2), y);
    int32_t& first = first_[Bucket(x, y, column, row)];
    node.next = first;
    first = at;
  }

  void Grow() {
    mask_ = 4 * mask_ + 3;
    first_.assign(size_t{mask_} + 1, kNone);
    for (size_t i = 0; i < nodes_.size(); ++i) Link(static_cast<int32_t>(i));
  }

  uint32_t mask_ = 255;         // buckets less one; grows before the first box
  std::vector<int32_t> first_;  // of each bucket
  std::vector<Node> nodes_;
};

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_BOX_GRID_H_
