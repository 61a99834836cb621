#include <algorithm>
#include <cstring>
#include <limits>
#include <vector>

#include "match_boxes.h"
#include "match_boxes_math.h"
#include "simd.h"

namespace mrcnn {
namespace {

constexpr int kBlock = 256;  // anchors that are matched together; 5 KiB

struct Truth {
  float x1, y1, x2, y2, area;
  int32_t index;
};

// A block of anchors, one array for each coordinate, with the region that they cover.
struct AnchorBlock {
  alignas(64) float x1[kBlock], y1[kBlock], x2[kBlock], y2[kBlock], area[kBlock];
  float left, top, right, bottom;

  void Fill(const float* anchors, int64_t count) {
    const float nothing[4] = {0.0f, 0.0f, 0.0f, 0.0f};
    left = top = std::numeric_limits<float>::max();
    right = bottom = std::numeric_limits<float>::lowest();
    for (int i = 0; i < kBlock; ++i) {
      const float* anchor = i < count && IsMatchable(anchors + 4 * i) ? anchors + 4 * i : nothing;
      x1[i] = anchor[0];
      y1[i] = anchor[1];
      x2[i] = anchor[2];
      y2[i] = anchor[3];
      area[i] = MatchArea(anchor);
      left = std::min(left, x1[i]);
      top = std::min(top, y1[i]);
      right = std::max(right, x2[i]);
      bottom = std::max(bottom, y2[i]);
    }
  }

  // Neighbouring anchors lie close together, so most boxes miss most blocks altogether.
  bool Touches(const Truth& truth) const {
    return truth.x1 < right && truth.x2 > left && truth.y1 < bottom && truth.y2 > top;
  }
};

// IoU of the anchors i, i + 1, ... of a block with one box. The same operations as MatchIou's.
template <class S>
MRCNN_INLINE void Iou(const AnchorBlock& block, int i, const Truth& truth, typename S::Float& iou) {
  using Float = typename S::Float;
  const Float zero = {};
  const Float truth_x1 = truth.x1 - zero, truth_y1 = truth.y1 - zero;
  const Float truth_x2 = truth.x2 - zero, truth_y2 = truth.y2 - zero;
  Float x1, y1, x2, y2, area;
  Load(block.x1 + i, x1);
  Load(block.y1 + i, y1);
  Load(block.x2 + i, x2);
  Load(block.y2 + i, y2);
  Load(block.area + i, area);
  Float width = (x2 < truth_x2 ? x2 : truth_x2) - (x1 > truth_x1 ? x1 : truth_x1);
  Float height = (y2 < truth_y2 ? y2 : truth_y2) - (y1 > truth_y1 ? y1 : truth_y1);
  width = width > zero ? width : zero;
  height = height > zero ? height : zero;
  const Float shared = width * height;
  iou = shared / (truth.area + area - shared);
  iou = iou >= zero ? iou : zero;  // an empty union has IoU 0
}

// Raises best[kBlock] and nearest[kBlock] where `truth` overlaps more than the boxes before it.
// Returns its best IoU in this block.
template <class S>
MRCNN_INLINE float Meet(const AnchorBlock& block, const Truth& truth, float* best,
                        int32_t* nearest) {
  using Float = typename S::Float;
  using Int = typename S::Int;
  Float highest = {};
  for (int i = 0; i < kBlock; i += S::kLanes) {
    Float iou, best_before;
    Iou<S>(block, i, truth, iou);
    Int nearest_before;
    Load(best + i, best_before);
    std::memcpy(&nearest_before, nearest + i, sizeof(nearest_before));
    const Int closer = iou > best_before;
    const Int index = truth.index - Int{};
    const Float best_now = closer ? iou : best_before;
    const Int nearest_now = closer ? index : nearest_before;
    Store(best_now, best + i);
    std::memcpy(nearest + i, &nearest_now, sizeof(nearest_now));
    highest = highest > iou ? highest : iou;
  }
  float result = 0.0f;
  for (int lane = 0; lane < S::kLanes; ++lane) result = std::max(result, highest[lane]);
  return result;
}

// Marks the anchors whose IoU with `truth` is exactly `iou`.
template <class S>
MRCNN_INLINE void MarkTies(const AnchorBlock& block, const Truth& truth, float iou,
                           int32_t* marked) {
  using Float = typename S::Float;
  using Int = typename S::Int;
  for (int i = 0; i < kBlock; i += S::kLanes) {
    Float other;
    Iou<S>(block, i, truth, other);
    Int mark;
    std::memcpy(&mark, marked + i, sizeof(mark));
    mark |= other == iou;
    std::memcpy(marked + i, &mark, sizeof(mark));
  }
}

float MeetNarrow(const AnchorBlock& block, const Truth& truth, float* best, int32_t* nearest) {
  return Meet<Narrow>(block, truth, best, nearest);
}

void MarkTiesNarrow(const AnchorBlock& block, const Truth& truth, float iou, int32_t* marked) {
  MarkTies<Narrow>(block, truth, iou, marked);
}

#if MRCNN_HAS_WIDE
MRCNN_TARGET_WIDE float MeetWide(const AnchorBlock& block, const Truth& truth, float* best,
                                 int32_t* nearest) {
  return Meet<Wide>(block, truth, best, nearest);
}

MRCNN_TARGET_WIDE void MarkTiesWide(const AnchorBlock& block, const Truth& truth, float iou,
                                    int32_t* marked) {
  MarkTies<Wide>(block, truth, iou, marked);
}
#else
constexpr auto MeetWide = MeetNarrow;
constexpr auto MarkTiesWide = MarkTiesNarrow;
#endif

std::vector<Truth> UsableTruths(const float* boxes, const bool* valid, int64_t num_boxes) {
  std::vector<Truth> truths;
  for (int64_t m = 0; m < num_boxes; ++m) {
    const float* box = boxes + 4 * m;
    if (!valid[m] || !IsMatchable(box)) continue;
    truths.push_back({box[0], box[1], box[2], box[3], MatchArea(box), static_cast<int32_t>(m)});
  }
  return truths;
}

void MatchImage(const MatchBoxesOptions& options, const float* anchors,
                const std::vector<Truth>& truths, int32_t* matches,
                const ParallelFor& parallel_for) {
  const int64_t num_anchors = options.num_anchors;
  const int64_t num_truths = static_cast<int64_t>(truths.size());
  const int64_t num_blocks = (num_anchors + kBlock - 1) / kBlock;
  const auto meet = UseWide() ? MeetWide : MeetNarrow;
  const auto mark_ties = UseWide() ? MarkTiesWide : MarkTiesNarrow;
  // Best IoU of every box in every block: all that the second pass needs to find its few blocks.
  std::vector<float> best_of_box(num_blocks * num_truths, 0.0f);
  std::vector<int32_t> nearest_of_anchor(options.allow_low_quality ? num_blocks * kBlock : 0);

  parallel_for.run(num_blocks, kBlock * (20 + num_truths), [&](int64_t begin, int64_t end) {
    AnchorBlock block;
    float best[kBlock];
    int32_t nearest[kBlock];
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock;
      const int64_t count = std::min<int64_t>(kBlock, num_anchors - first);
      block.Fill(anchors + 4 * first, count);
      // IoUs are not negative, so the first box is the best until another one overlaps.
      std::fill_n(best, kBlock, 0.0f);
      std::fill_n(nearest, kBlock, truths[0].index);
      for (int64_t t = 0; t < num_truths; ++t) {
        if (!block.Touches(truths[t])) continue;
        best_of_box[b * num_truths + t] = meet(block, truths[t], best, nearest);
      }
      for (int64_t i = 0; i < count; ++i) {
        matches[first + i] = best[i] < options.low_threshold    ? kBackground
                             : best[i] < options.high_threshold ? kIgnore
                                                                : nearest[i];
      }
      if (options.allow_low_quality) {
        std::copy_n(nearest, kBlock, nearest_of_anchor.begin() + first);
      }
    }
  });
  if (!options.allow_low_quality) return;

  std::vector<float> best(num_truths, 0.0f);
  for (int64_t b = 0; b < num_blocks; ++b) {
    for (int64_t t = 0; t < num_truths; ++t) {
      best[t] = std::max(best[t], best_of_box[b * num_truths + t]);
    }
  }
  parallel_for.run(num_blocks, num_truths, [&](int64_t begin, int64_t end) {
    AnchorBlock block;
    int32_t marked[kBlock];
    for (int64_t b = begin; b < end; ++b) {
      const int64_t first = b * kBlock;
      const int64_t count = std::min<int64_t>(kBlock, num_anchors - first);
      bool filled = false;
      for (int64_t t = 0; t < num_truths; ++t) {
        if (best[t] == 0.0f || best_of_box[b * num_truths + t] != best[t]) continue;
        if (!filled) {
          block.Fill(anchors + 4 * first, count);
          std::fill_n(marked, kBlock, 0);
          filled = true;
        }
        mark_ties(block, truths[t], best[t], marked);
      }
      for (int64_t i = 0; filled && i < count; ++i) {
        if (marked[i]) matches[first + i] = nearest_of_anchor[first + i];
      }
    }
  });
}

}  // namespace

void MatchBoxesCpu(const MatchBoxesOptions& options, const float* anchors, const float* boxes,
                   const bool* valid, int32_t* matches, const ParallelFor& parallel_for) {
  for (int64_t image = 0; image < options.batch; ++image) {
    const std::vector<Truth> truths =
        UsableTruths(boxes + image * options.num_boxes * 4, valid + image * options.num_boxes,
                     options.num_boxes);
    int32_t* image_matches = matches + image * options.num_anchors;
    const int64_t skip = options.shared_anchors ? 0 : image * options.num_anchors * 4;
    if (truths.empty()) {
      std::fill_n(image_matches, options.num_anchors, kBackground);
    } else {
      MatchImage(options, anchors + skip, truths, image_matches, parallel_for);
    }
  }
}

}  // namespace mrcnn
