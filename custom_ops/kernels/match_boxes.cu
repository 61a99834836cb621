#include "gpu_launch.h"
#include "match_boxes.h"
#include "match_boxes_math.h"
#include "narrow_float.h"

namespace mrcnn {
namespace {

struct MatchInput {
  MatchBoxesOptions options;
  const float* anchors;
  const float* boxes;
  const bool* valid;
};

__device__ inline const float* AnchorOf(const MatchInput& input, int64_t item) {
  const int64_t anchor = input.options.shared_anchors ? item % input.options.num_anchors : item;
  return input.anchors + 4 * anchor;
}

// Anchors that are not finite overlap nothing, as a box without an area.
__device__ inline float IouOf(const float* anchor, bool matchable, const float* box) {
  return matchable ? MatchIou(anchor, box) : 0.0f;
}

// A thread for each anchor: its match by the thresholds, its nearest box, and the best IoU of each
// box. IoUs are not negative, so their bits order as they do and the maximum is the same in
// whatever order the threads come.
__global__ void MatchAnchors(MatchInput input, int64_t total, int32_t* matches, int32_t* nearest,
                             int32_t* best_of_box) {
  const MatchBoxesOptions& options = input.options;
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const int64_t first_box = item / options.num_anchors * options.num_boxes;
    const float* anchor = AnchorOf(input, item);
    const bool matchable = IsMatchable(anchor);
    float best = 0.0f;
    int32_t index = kBackground;
    for (int64_t m = 0; m < options.num_boxes; ++m) {
      const float* box = input.boxes + 4 * (first_box + m);
      if (!input.valid[first_box + m] || !IsMatchable(box)) continue;
      const float iou = IouOf(anchor, matchable, box);
      if (index == kBackground || iou > best) {
        best = iou;
        index = static_cast<int32_t>(m);
      }
      if (options.allow_low_quality && iou > 0.0f) {
        atomicMax(best_of_box + first_box + m, static_cast<int32_t>(BitsOf(iou)));
      }
    }
    nearest[item] = index;
    matches[item] = index == kBackground || best < options.low_threshold ? kBackground
                    : best < options.high_threshold                      ? kIgnore
                                                                         : index;
  }
}

// Gives the anchors that overlap some box most their own nearest box back.
__global__ void PromoteAnchors(MatchInput input, int64_t total, const int32_t* nearest,
                               const int32_t* best_of_box, int32_t* matches) {
  const MatchBoxesOptions& options = input.options;
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const float* anchor = AnchorOf(input, item);
    if (!IsMatchable(anchor)) continue;
    const int64_t first_box = item / options.num_anchors * options.num_boxes;
    for (int64_t m = 0; m < options.num_boxes; ++m) {
      const int32_t best = best_of_box[first_box + m];
      // 0 as well for boxes that are not valid.
      if (best == 0) continue;
      const float iou = MatchIou(anchor, input.boxes + 4 * (first_box + m));
      if (static_cast<int32_t>(BitsOf(iou)) == best) {
        matches[item] = nearest[item];
        break;
      }
    }
  }
}

size_t BestOfBoxBytes(const MatchBoxesOptions& options) {
  return sizeof(int32_t) * static_cast<size_t>(options.batch * options.num_boxes);
}

}  // namespace

size_t MatchBoxesGpuWorkspace(const MatchBoxesOptions& options) {
  return BestOfBoxBytes(options) +
         sizeof(int32_t) * static_cast<size_t>(options.batch * options.num_anchors);
}

GpuStatus MatchBoxesGpu(const MatchBoxesOptions& options, const float* anchors, const float* boxes,
                        const bool* valid, int32_t* matches, void* workspace, GpuStream stream) {
  const int64_t total = options.batch * options.num_anchors;
  int32_t* best_of_box = static_cast<int32_t*>(workspace);
  int32_t* nearest = best_of_box + options.batch * options.num_boxes;
  const MatchInput input = {options, anchors, boxes, valid};
  GpuStatus error = FillZeros(best_of_box, BestOfBoxBytes(options), stream);
  if (!error.empty()) return error;
  error = LaunchElementwise("MatchAnchors", MatchAnchors, total, stream, input, total, matches,
                            nearest, best_of_box);
  if (!error.empty() || !options.allow_low_quality) return error;
  return LaunchElementwise("PromoteAnchors", PromoteAnchors, total, stream, input, total, nearest,
                           best_of_box, matches);
}

}  // namespace mrcnn
