// What the mask head should predict inside a RoI, pooled from bit-packed crops of the objects.
#ifndef MRCNN_KERNELS_MASK_TARGETS_H_
#define MRCNN_KERNELS_MASK_TARGETS_H_

#include <cstdint>
#include <string>

#include "parallel_for.h"

namespace mrcnn {

struct MaskTargetsOptions {
  int64_t batch;
  int64_t num_bytes;  // of masks, in each image
  int64_t num_objects;
  int64_t num_rois;
  int size;            // bins along each side of a target
  int sampling_ratio;  // 0: as many points as there are pixels of the crop in a bin
  bool aligned;
  bool at_borders;  // whether a mask goes on beyond the border of its image
  bool binary;
};

// masks [batch, num_bytes]: crops one after the other, a bit a pixel, each from a byte boundary;
// shapes [batch, num_objects, 2] of the crops; regions [batch, num_objects, 4] that they cover in
// pixels of the image; rois [batch, num_rois, 4]; matches [batch, num_rois]; image_sizes [batch,
// 2], read with at_borders only; targets [batch, num_rois, size, size]. Returns what is wrong with
// the input, or nothing.
std::string MaskTargetsCpu(const MaskTargetsOptions& options, const uint8_t* masks,
                           const int32_t* shapes, const float* regions, const float* rois,
                           const int32_t* matches, const int32_t* image_sizes, float* targets,
                           const ParallelFor& parallel_for);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_MASK_TARGETS_H_
