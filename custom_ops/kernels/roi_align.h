// RoIAlign over a feature pyramid (He et al., Mask R-CNN, section 3), on raw pointers.
#ifndef MRCNN_KERNELS_ROI_ALIGN_H_
#define MRCNN_KERNELS_ROI_ALIGN_H_

#include <cstdint>
#include <vector>

#include "parallel_for.h"

namespace mrcnn {

// A map of the pyramid, without its data.
struct RoiAlignLevel {
  int64_t height;
  int64_t width;
  float scale;     // 1 / stride
  float min_area;  // smallest box area in square pixels that belongs here; ignored on the first
};

struct RoiAlignOptions {
  int64_t batch;
  int64_t num_boxes;
  int64_t channels;
  int output_height;
  int output_width;
  int sampling_ratio;  // 0: as many points as there are cells in a bin
  bool aligned;
  std::vector<RoiAlignLevel> levels;
};

// features[l] is [batch, height_l, width_l, channels]; boxes [batch, num_boxes, 4] as x1, y1, x2,
// y2 in pixels; output [batch, num_boxes, output_height, output_width, channels].
void RoiAlignCpu(const RoiAlignOptions& options, const std::vector<const float*>& features,
                 const float* boxes, float* output, const ParallelFor& parallel_for);

// Writes the gradient of every map, zeros included. The result does not depend on the number of
// threads: each of them owns a block of channels and adds the boxes in order.
void RoiAlignGradCpu(const RoiAlignOptions& options, const float* output_gradient,
                     const float* boxes, const std::vector<float*>& feature_gradients,
                     const ParallelFor& parallel_for);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_ROI_ALIGN_H_
