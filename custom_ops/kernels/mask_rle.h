// Mask probabilities straight to COCO's compressed run-length encoding, on raw pointers.
#ifndef MRCNN_KERNELS_MASK_RLE_H_
#define MRCNN_KERNELS_MASK_RLE_H_

#include <string>

#include "parallel_for.h"
#include "paste_masks.h"

namespace mrcnn {

// The `counts` of every mask as PasteMasksCpu would paste it, in COCO's string coding: equal to
// encoding the image byte for byte, but neither an image nor a region of one is held. `counts`
// points to options.num_masks strings.
void MaskRleCpu(const PasteMasksOptions& options, const float* masks, const float* boxes,
                std::string* counts, const ParallelFor& parallel_for);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_MASK_RLE_H_
