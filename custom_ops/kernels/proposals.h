// From RPN outputs to proposals in one pass (Lin et al., Feature Pyramid Networks, section 4.1), on
// raw pointers.
#ifndef MRCNN_KERNELS_PROPOSALS_H_
#define MRCNN_KERNELS_PROPOSALS_H_

#include <cstddef>
#include <cstdint>
#include <vector>

#include "gpu.h"
#include "parallel_for.h"

namespace mrcnn {

struct ProposalOptions {
  int64_t batch;
  std::vector<int64_t> level_sizes;  // anchors of each level
  int64_t pre_nms_top_n;             // of each level
  int64_t post_nms_top_n;            // of each image
  float nms_threshold;
  float min_size;  // of both sides, in pixels
};

// logits[l] is [batch, level_sizes[l]], deltas[l] [batch, level_sizes[l], 4], anchors[l]
// [level_sizes[l], 4]; image_sizes [batch, 2] as height, width. Writes boxes[batch,
// post_nms_top_n, 4], clipped to the image and padded with 0; kept_logits[batch, post_nms_top_n],
// descending and padded with -inf; counts[batch]. Equal logits go by level, then by anchor.
void ProposalsCpu(const ProposalOptions& options, const std::vector<const float*>& logits,
                  const std::vector<const float*>& deltas, const std::vector<const float*>& anchors,
                  const float* image_sizes, float* boxes, float* kept_logits, int32_t* counts,
                  const ParallelFor& parallel_for);

// Kernels on the GPU take their levels by value.
constexpr size_t kMaxGpuProposalLevels = 8;

// The same on the GPU, for at most kMaxGpuProposalLevels levels. `workspace` is
// ProposalsGpuWorkspace(options) bytes of device memory. The GPU's expf may differ from the CPU's
// in the last bits, and boxes then with it; from equal boxes both choose the same.
size_t ProposalsGpuWorkspace(const ProposalOptions& options);
GpuStatus ProposalsGpu(const ProposalOptions& options, const std::vector<const float*>& logits,
                       const std::vector<const float*>& deltas,
                       const std::vector<const float*>& anchors, const float* image_sizes,
                       float* boxes, float* kept_logits, int32_t* counts, void* workspace,
                       GpuStream stream);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_PROPOSALS_H_
