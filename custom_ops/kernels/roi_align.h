// RoIAlign over a feature pyramid (He et al., Mask R-CNN, section 3), on raw pointers.
#ifndef MRCNN_KERNELS_ROI_ALIGN_H_
#define MRCNN_KERNELS_ROI_ALIGN_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gpu.h"
#include "narrow_float.h"
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

// Element is float, Float16 or BFloat16. features[l] is [batch, height_l, width_l, channels]; boxes
// [batch, num_boxes, 4] as x1, y1, x2, y2 in pixels; output [batch, num_boxes, output_height,
// output_width, channels]. Sums are float32 and rounded to Element once.
template <class Element>
void RoiAlignCpu(const RoiAlignOptions& options, const std::vector<const Element*>& features,
                 const float* boxes, Element* output, const ParallelFor& parallel_for);

// Writes the gradient of every map, zeros included. The result does not depend on the number of
// threads.
template <class Element>
void RoiAlignGradCpu(const RoiAlignOptions& options, const Element* output_gradient,
                     const float* boxes, const std::vector<Element*>& feature_gradients,
                     const ParallelFor& parallel_for);

// The same on the GPU, of at most kMaxGpuLevels maps.
constexpr int kMaxGpuLevels = 8;

template <class Element>
GpuStatus RoiAlignGpu(const RoiAlignOptions& options, const std::vector<const Element*>& features,
                      const float* boxes, Element* output, GpuStream stream);

// `workspace` is RoiAlignGradGpuWorkspace<Element>(options) bytes of device memory: the float32
// sums of 16-bit gradients. `deterministic` adds in the order of the boxes, without atomics, and is
// slower.
template <class Element>
size_t RoiAlignGradGpuWorkspace(const RoiAlignOptions& options);
template <class Element>
GpuStatus RoiAlignGradGpu(const RoiAlignOptions& options, const Element* output_gradient,
                          const float* boxes, const std::vector<Element*>& feature_gradients,
                          bool deterministic, void* workspace, GpuStream stream);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_ROI_ALIGN_H_
