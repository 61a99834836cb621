// IoU of an anchor and a ground-truth box, in the order of operations of the plain version: ties
// between anchors are told by exact equality, on the GPU as on the CPU.
#ifndef MRCNN_KERNELS_MATCH_BOXES_MATH_H_
#define MRCNN_KERNELS_MATCH_BOXES_MATH_H_

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace mrcnn {

constexpr int32_t kBackground = -1;
constexpr int32_t kIgnore = -2;

// Whether a box takes part: all of its coordinates are finite.
MRCNN_HOST_DEVICE inline bool IsMatchable(const float* box) {
  constexpr float kLargest = 3.402823466e38f;
  return fabsf(box[0]) <= kLargest && fabsf(box[1]) <= kLargest && fabsf(box[2]) <= kLargest &&
         fabsf(box[3]) <= kLargest;
}

MRCNN_HOST_DEVICE inline float MatchArea(const float* box) {
  const float width = box[2] - box[0];
  const float height = box[3] - box[1];
  return (width > 0.0f ? width : 0.0f) * (height > 0.0f ? height : 0.0f);
}

MRCNN_HOST_DEVICE inline float MatchIou(const float* anchor, const float* truth) {
  const float width =
      (anchor[2] < truth[2] ? anchor[2] : truth[2]) - (anchor[0] > truth[0] ? anchor[0] : truth[0]);
  const float height =
      (anchor[3] < truth[3] ? anchor[3] : truth[3]) - (anchor[1] > truth[1] ? anchor[1] : truth[1]);
  const float shared = (width > 0.0f ? width : 0.0f) * (height > 0.0f ? height : 0.0f);
  const float iou = shared / (MatchArea(truth) + MatchArea(anchor) - shared);
  return iou >= 0.0f ? iou : 0.0f;  // an empty union has IoU 0
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_MATCH_BOXES_MATH_H_
