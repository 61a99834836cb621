// The arithmetic of boxes that the CPU's and the GPU's kernels share: both round alike, so both
// take identical decisions.
#ifndef MRCNN_KERNELS_BOX_MATH_H_
#define MRCNN_KERNELS_BOX_MATH_H_

#include <cfloat>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "host_device.h"

namespace mrcnn {

struct Box {
  float x1, y1, x2, y2;
};

MRCNN_HOST_DEVICE inline float Smaller(float a, float b) { return b < a ? b : a; }
MRCNN_HOST_DEVICE inline float Larger(float a, float b) { return a < b ? b : a; }

// False for NaN and infinity.
MRCNN_HOST_DEVICE inline bool IsFiniteValue(float value) {
  return value <= FLT_MAX && value >= -FLT_MAX;
}

// Corners in order, whichever way round they were given.
MRCNN_HOST_DEVICE inline Box OrderedBox(const float* box) {
  return {Smaller(box[0], box[2]), Smaller(box[1], box[3]), Larger(box[0], box[2]),
          Larger(box[1], box[3])};
}

// Of a box whose corners are in order.
MRCNN_HOST_DEVICE inline float BoxArea(const Box& box) {
  return (box.x2 - box.x1) * (box.y2 - box.y1);
}

// An area is finite only if all coordinates are, and one that overflows has no IoU.
MRCNN_HOST_DEVICE inline bool IsUsableBox(const float* box) {
  return IsFiniteValue((box[2] - box[0]) * (box[3] - box[1]));
}

MRCNN_HOST_DEVICE inline bool IsUsableScore(float score, float score_threshold) {
  return score > score_threshold && IsFiniteValue(score);
}

// IoU of two boxes in order, rounded as TensorFlow's NonMaxSuppressionV4 rounds it; 0 if one of
// them has no area.
MRCNN_HOST_DEVICE inline float BoxIou(const Box& box, float area, const Box& other,
                                      float other_area) {
  if (!(area > 0.0f) || !(other_area > 0.0f)) return 0.0f;
  const float width = Larger(Smaller(box.x2, other.x2) - Larger(box.x1, other.x1), 0.0f);
  const float height = Larger(Smaller(box.y2, other.y2) - Larger(box.y1, other.y1), 0.0f);
  const float shared = width * height;
  return shared / (area + other_area - shared);
}

// A number that sorts by descending score, then by ascending index; -0 and 0 are equal scores.
MRCNN_HOST_DEVICE inline uint64_t SortKey(float score, uint32_t index) {
  score += 0.0f;
  uint32_t bits;
  memcpy(&bits, &score, sizeof(bits));
  const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(~ascending) << 32 | index;
}

MRCNN_HOST_DEVICE inline uint32_t KeyIndex(uint64_t key) {
  return static_cast<uint32_t>(key & 0xffffffffu);
}

// log(1000 / 16): a delta past it comes from a diverging network, not from an object.
constexpr float kMaxLogScale = 4.135166556742356f;

// The box that `deltas` (dx, dy, log dw, log dh) make of an anchor, not clipped.
MRCNN_HOST_DEVICE inline Box DecodeBox(const float* deltas, const float* anchor) {
  const float width = anchor[2] - anchor[0], height = anchor[3] - anchor[1];
  const float x = deltas[0] * width + (anchor[0] + 0.5f * width);
  const float y = deltas[1] * height + (anchor[1] + 0.5f * height);
  // Written so that NaN stays NaN.
  const float log_width = deltas[2] > kMaxLogScale ? kMaxLogScale : deltas[2];
  const float log_height = deltas[3] > kMaxLogScale ? kMaxLogScale : deltas[3];
  const float half_width = 0.5f * expf(log_width) * width;
  const float half_height = 0.5f * expf(log_height) * height;
  return {x - half_width, y - half_height, x + half_width, y + half_height};
}

MRCNN_HOST_DEVICE inline bool IsFiniteBox(const Box& box) {
  return IsFiniteValue(box.x1) && IsFiniteValue(box.y1) && IsFiniteValue(box.x2) &&
         IsFiniteValue(box.y2);
}

MRCNN_HOST_DEVICE inline Box ClipBox(const Box& box, float height, float width) {
  return {Larger(Smaller(box.x1, width), 0.0f), Larger(Smaller(box.y1, height), 0.0f),
          Larger(Smaller(box.x2, width), 0.0f), Larger(Smaller(box.y2, height), 0.0f)};
}

MRCNN_HOST_DEVICE inline bool IsLargeEnough(const Box& box, float min_size) {
  return box.x2 - box.x1 >= min_size && box.y2 - box.y1 >= min_size;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_BOX_MATH_H_
