#include "gpu_launch.h"
#include "paste_masks.h"
#include "paste_masks_math.h"

namespace mrcnn {
namespace {

// A thread for each pixel of each mask; neighbours along a row write neighbouring bytes.
__global__ void Paste(PasteMasksOptions options, int64_t total, const float* masks,
                      const float* boxes, uint8_t* output) {
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const int64_t x = item % options.width;
    const int64_t y = item / options.width % options.height;
    const int64_t mask = item / options.width / options.height;
    PasteAxis down, across;
    MakePasteAxes(boxes + 4 * mask, options.mask_height, options.mask_width, &down, &across);
    float value = 0.0f;
    if (PasteCovers(down, y) && PasteCovers(across, x)) {
      value = PasteValue(masks + mask * options.mask_height * options.mask_width,
                         options.mask_width, MakePasteTaps(down, y), MakePasteTaps(across, x));
    }
    output[item] = value >= options.threshold;
  }
}

}  // namespace

GpuStatus PasteMasksGpu(const PasteMasksOptions& options, const float* masks, const float* boxes,
                        uint8_t* output, GpuStream stream) {
  const int64_t total = options.num_masks * options.height * options.width;
  return LaunchElementwise("PasteMasks", Paste, total, stream, options, total, masks, boxes,
                           output);
}

}  // namespace mrcnn
