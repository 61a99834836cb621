// Pasting of small mask probabilities into images, on raw pointers.
#ifndef MRCNN_KERNELS_PASTE_MASKS_H_
#define MRCNN_KERNELS_PASTE_MASKS_H_

#include <cstdint>

#include "gpu.h"
#include "parallel_for.h"

namespace mrcnn {

struct PasteMasksOptions {
  int64_t num_masks;
  int64_t mask_height;
  int64_t mask_width;
  int64_t height;  // of the image
  int64_t width;
  float threshold;
};

// masks is [num_masks, mask_height, mask_width], boxes [num_masks, 4]; writes 0 and 1 to
// output[num_masks, height, width].
void PasteMasksCpu(const PasteMasksOptions& options, const float* masks, const float* boxes,
                   uint8_t* output, const ParallelFor& parallel_for);

GpuStatus PasteMasksGpu(const PasteMasksOptions& options, const float* masks, const float* boxes,
                        uint8_t* output, GpuStream stream);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_PASTE_MASKS_H_
