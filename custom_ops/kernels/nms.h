// Non-maximum suppression of one image, class by class, on raw pointers.
#ifndef MRCNN_KERNELS_NMS_H_
#define MRCNN_KERNELS_NMS_H_

#include <cstdint>

namespace mrcnn {

// Writes the indices of the kept boxes to indices[max_output], by descending score and padded with
// 0, and returns how many there are. boxes is [num_boxes, 4] as x1, y1, x2, y2. Equal scores are
// visited by ascending index; a box or score that is not finite is never kept.
int NmsCpu(const float* boxes, const float* scores, const int32_t* classes, int64_t num_boxes,
           float iou_threshold, float score_threshold, int max_output, int32_t* indices);

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_NMS_H_
