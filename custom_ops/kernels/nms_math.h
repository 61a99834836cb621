// The arithmetic of Soft-NMS that the CPU's and the GPU's kernels share.
#ifndef MRCNN_KERNELS_NMS_MATH_H_
#define MRCNN_KERNELS_NMS_MATH_H_

#include <cmath>

#include "host_device.h"
#include "nms.h"

namespace mrcnn {

// The factor of a score in the soft modes, by the IoU with the box that has just been kept.
MRCNN_HOST_DEVICE inline float DecayFactor(const NmsOptions& options, float iou) {
  if (options.mode == NmsMode::kGaussian) return expf(-(iou * iou) / options.sigma);
  return iou > options.iou_threshold ? 1.0f - iou : 1.0f;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_NMS_MATH_H_
