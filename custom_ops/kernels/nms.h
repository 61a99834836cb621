// Non-maximum suppression, class by class and image by image, on raw pointers.
#ifndef MRCNN_KERNELS_NMS_H_
#define MRCNN_KERNELS_NMS_H_

#include <cstddef>
#include <cstdint>

#include "gpu.h"
#include "parallel_for.h"

namespace mrcnn {

// What happens to a box that overlaps a kept one of its class. kHard: it is dropped above the IoU
// threshold. kLinear: above it, its score is multiplied by 1 - IoU. kGaussian: its score is
// multiplied by exp(-IoU^2 / sigma), whatever the IoU (Bodla et al., Soft-NMS, section 3). The soft
// modes are for scores that are not negative: those would rise.
enum class NmsMode { kHard, kLinear, kGaussian };

struct NmsOptions {
  int64_t batch;
  int64_t num_boxes;
  int64_t max_output;
  int64_t pre_nms_top_n;  // only the so many best of an image take part; 0: all
  float iou_threshold;
  float score_threshold;  // a box is kept only while its score is above
  NmsMode mode;
  float sigma;
};

// boxes is [batch, num_boxes, 4] as x1, y1, x2, y2; scores and classes [batch, num_boxes]. Writes
// the kept boxes of each image by descending score: indices[batch, max_output] padded with 0,
// kept_scores[batch, max_output] (decayed, in the soft modes) padded with 0, counts[batch]. Equal
// scores are visited by ascending index; a box or score that is not finite is never kept.
void NmsCpu(const NmsOptions& options, const float* boxes, const float* scores,
            const int32_t* classes, int32_t* indices, float* kept_scores, int32_t* counts,
            const ParallelFor& parallel_for);

// The same on the GPU. `workspace` is NmsGpuWorkspace(options) bytes of device memory. The result
// is equal but for kGaussian, where the GPU's expf may differ from the CPU's in the last bits.
size_t NmsGpuWorkspace(const NmsOptions& options);
GpuStatus NmsGpu(const NmsOptions& options, const float* boxes, const float* scores,
                 const int32_t* classes, int32_t* indices, float* kept_scores, int32_t* counts,
                 void* workspace, GpuStream stream);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_NMS_H_
