// The boxes that suppression has kept, laid out for vectors. For the CPU.
#ifndef MRCNN_KERNELS_KEPT_BOXES_H_
#define MRCNN_KERNELS_KEPT_BOXES_H_

#include <cfloat>
#include <cstdint>
#include <cstring>
#include <vector>

#include "box_grid.h"
#include "box_math.h"
#include "simd.h"

namespace mrcnn {

// Kept boxes stand in blocks, one array a coordinate, so that a candidate meets a block at a time.
// A block is padded with empty boxes, which overlap nothing. Once there are many boxes they stand
// in a grid as well, unless one of them does not fit.
class KeptBoxes {
 public:
  static constexpr int kBlock = 16;
  static constexpr int64_t kMany = 256;

  void Add(const Box& box, float area) {
    if (!(area > 0.0f)) return;
    const int64_t lane = count_ % kBlock;
    if (lane == 0) values_.resize(values_.size() + 5 * kBlock, 0.0f);
    float* block = values_.data() + count_ / kBlock * 5 * kBlock + lane;
    block[0] = box.x1;
    block[kBlock] = box.y1;
    block[2 * kBlock] = box.x2;
    block[3 * kBlock] = box.y2;
    block[4 * kBlock] = area;
    ++count_;
    all_fit_ = all_fit_ && BoxGrid::Fits(box);
    if (count_ < kMany || !all_fit_) return;
    if (count_ == kMany) {
      for (int64_t i = 0; i < count_; ++i) AddToGrid(i);
    } else {
      grid_.Add(box, area);
    }
  }

  // Whether a kept box overlaps `box` by an IoU above the threshold.
  bool Suppress(const Box& box, float area, float iou_threshold) const {
    if (count_ == 0 || !(area > 0.0f)) return false;
    if (count_ >= kMany && all_fit_ && iou_threshold >= BoxGrid::kLowestThreshold &&
        BoxGrid::Fits(box)) {
      return grid_.Suppress(box, area, iou_threshold);
    }
#if MRCNN_HAS_WIDE
    if (UseWide()) return SuppressWide(box, area, iou_threshold);
#endif
    return Search<Narrow>(box, area, iou_threshold);
  }

 private:
  void AddToGrid(int64_t i) {
    const float* lane = values_.data() + i / kBlock * 5 * kBlock + i % kBlock;
    grid_.Add({lane[0], lane[kBlock], lane[2 * kBlock], lane[3 * kBlock]}, lane[4 * kBlock]);
  }

#if MRCNN_HAS_WIDE
  MRCNN_TARGET_WIDE bool SuppressWide(const Box& box, float area, float iou_threshold) const {
    return Search<Wide>(box, area, iou_threshold);
  }
#endif

  template <class S>
  static MRCNN_INLINE bool Any(const typename S::Int& hits) {
    int64_t words[sizeof(hits) / 8];
    std::memcpy(words, &hits, sizeof(hits));
    int64_t any = 0;
    for (int64_t word : words) any |= word;
    return any != 0;
  }

  // Compares areas where that is certain and divides, as the definition says, only near the
  // threshold: the result is that of the division in every case.
  template <class S>
  MRCNN_INLINE bool Search(const Box& box, float area, float iou_threshold) const {
    using Float = typename S::Float;
    using Int = typename S::Int;
    const Float zero = {};
    const Float x1 = box.x1 - zero, y1 = box.y1 - zero, x2 = box.x2 - zero, y2 = box.y2 - zero;
    // Far wider than the few roundings in between; FLT_MIN covers areas too small for them.
    const float below = iou_threshold < 1e-30f ? 0.0f : iou_threshold * (1.0f - 1e-5f);
    for (size_t start = 0; start < values_.size(); start += 5 * kBlock) {
      const float* block = values_.data() + start;
      Float shared[kBlock / S::kLanes], both[kBlock / S::kLanes];
      Int possible = {};
      for (int i = 0; i < kBlock / S::kLanes; ++i) {
        const float* lanes = block + i * S::kLanes;
        Float kept_x1, kept_y1, kept_x2, kept_y2, kept_area;
        Load(lanes, kept_x1);
        Load(lanes + kBlock, kept_y1);
        Load(lanes + 2 * kBlock, kept_x2);
        Load(lanes + 3 * kBlock, kept_y2);
        Load(lanes + 4 * kBlock, kept_area);
        Float width = (kept_x2 < x2 ? kept_x2 : x2) - (kept_x1 > x1 ? kept_x1 : x1);
        Float height = (kept_y2 < y2 ? kept_y2 : y2) - (kept_y1 > y1 ? kept_y1 : y1);
        width = width > zero ? width : zero;
        height = height > zero ? height : zero;
        shared[i] = width * height;
        both[i] = area + kept_area - shared[i];
        possible |= shared[i] >= both[i] * below - FLT_MIN;
      }
      if (!Any<S>(possible)) continue;
      Int hits = {};
      for (int i = 0; i < kBlock / S::kLanes; ++i) hits |= shared[i] / both[i] > iou_threshold;
      if (Any<S>(hits)) return true;
    }
    return false;
  }

  int64_t count_ = 0;
  bool all_fit_ = true;
  std::vector<float> values_;
  BoxGrid grid_;
};

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_KEPT_BOXES_H_
