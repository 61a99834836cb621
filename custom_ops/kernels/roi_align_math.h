// Where RoIAlign samples, computed alike on the CPU and the GPU so that both read the same cells.
#ifndef MRCNN_KERNELS_ROI_ALIGN_MATH_H_
#define MRCNN_KERNELS_ROI_ALIGN_MATH_H_

#include <cmath>
#include <cstdint>

#include "host_device.h"

namespace mrcnn {

// A box with a coordinate that is not finite pools to 0.
MRCNN_HOST_DEVICE inline bool IsFiniteBox(const float* box) {
  // A difference of itself is 0 for finite numbers only, and NaN otherwise.
  for (int i = 0; i < 4; ++i) {
    if (!(box[i] - box[i] == 0.0f)) return false;
  }
  return true;
}

// `min_areas[l]` is the smallest area that belongs to level l; that of level 0 is ignored.
MRCNN_HOST_DEVICE inline int LevelOfBox(const float* box, const float* min_areas, int num_levels) {
  const float width = box[2] - box[0];
  const float height = box[3] - box[1];
  const float area = (width > 0.0f ? width : 0.0f) * (height > 0.0f ? height : 0.0f);
  int level = 0;
  for (int l = 1; l < num_levels; ++l) level += area >= min_areas[l];
  return level;
}

// How the bins of a box lie along one axis of a map, in cells.
struct SampledAxis {
  float start;
  float bin_size;
  float samples;  // a whole number of points in each bin, 0 or more
  float weight;   // of each point
  float limit;    // cells of the map
};

// `low` and `high` are the edges of the box in cells of a map that has `size` of them.
MRCNN_HOST_DEVICE inline SampledAxis SampleAxis(float low, float high, int64_t size, int bins,
                                                int sampling_ratio, bool aligned) {
  SampledAxis axis;
  axis.limit = static_cast<float>(size);
  if (aligned) {
    low -= 0.5f;
    high -= 0.5f;
  }
  float extent = high - low;
  if (!aligned && extent < 1.0f) extent = 1.0f;
  axis.start = low;
  axis.bin_size = extent / static_cast<float>(bins);
  axis.samples = static_cast<float>(sampling_ratio);
  if (sampling_ratio == 0) {
    // Bounded, so that one absurdly large box costs no more than twice its map.
    const float most = 2.0f * axis.limit;
    axis.samples = ceilf((extent < most ? extent : most) / static_cast<float>(bins));
    if (!(axis.samples > 0.0f)) axis.samples = 0.0f;
  }
  axis.weight = 1.0f / (axis.samples > 1.0f ? axis.samples : 1.0f);
  return axis;
}

// The two cells that a sampling point lies between. high == low where it lies on one.
struct AxisSample {
  bool inside;  // otherwise it counts as 0 and the rest is undefined
  int32_t low;
  int32_t high;
  float low_weight;
  float high_weight;
};

// `sample` is the whole number of the point in its bin, from 0.
MRCNN_HOST_DEVICE inline AxisSample SampleAt(const SampledAxis& axis, int bin, float sample) {
  AxisSample result;
  const float start = axis.start + static_cast<float>(bin) * axis.bin_size;
  float at = start + (sample + 0.5f) * axis.bin_size / axis.samples;
  result.inside = at >= -1.0f && at <= axis.limit;  // a NaN stays outside as well
  if (!result.inside) return result;
  if (at < 0.0f) at = 0.0f;
  if (at > axis.limit - 1.0f) at = axis.limit - 1.0f;
  const float below = floorf(at);
  const float fraction = at - below;
  result.low = static_cast<int32_t>(below);
  result.high = result.low + (fraction > 0.0f);
  result.low_weight = axis.weight * (1.0f - fraction);
  result.high_weight = axis.weight * fraction;
  return result;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_ROI_ALIGN_MATH_H_
