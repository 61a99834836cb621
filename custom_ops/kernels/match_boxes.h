// Matching of anchors to ground-truth boxes by IoU, on raw pointers and without an IoU matrix.
#ifndef MRCNN_KERNELS_MATCH_BOXES_H_
#define MRCNN_KERNELS_MATCH_BOXES_H_

#include <cstddef>
#include <cstdint>

#include "gpu.h"
#include "parallel_for.h"

namespace mrcnn {

struct MatchBoxesOptions {
  int64_t batch;
  int64_t num_anchors;
  int64_t num_boxes;
  bool shared_anchors;  // anchors is [num_anchors, 4] instead of [batch, num_anchors, 4]
  float high_threshold;
  float low_threshold;
  bool allow_low_quality;
};

// Writes matches[batch, num_anchors]: the index of a box, -1 for background, -2 for anchors whose
// best IoU lies between the thresholds. boxes is [batch, num_boxes, 4], valid [batch, num_boxes].
void MatchBoxesCpu(const MatchBoxesOptions& options, const float* anchors, const float* boxes,
                   const bool* valid, int32_t* matches, const ParallelFor& parallel_for);

// The same on the GPU. `workspace` is MatchBoxesGpuWorkspace(options) bytes of device memory.
size_t MatchBoxesGpuWorkspace(const MatchBoxesOptions& options);
GpuStatus MatchBoxesGpu(const MatchBoxesOptions& options, const float* anchors, const float* boxes,
                        const bool* valid, int32_t* matches, void* workspace, GpuStream stream);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_MATCH_BOXES_H_
