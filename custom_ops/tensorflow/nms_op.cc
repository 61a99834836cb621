#include "../kernels/nms.h"
#include "op_kernel.h"

namespace mrcnn {
namespace {

using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::Tensor;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

absl::Status NmsShape(InferenceContext* context) {
  int max_output;
  TF_RETURN_IF_ERROR(context->GetAttr("max_output", &max_output));
  ShapeHandle boxes, scores, classes;
  DimensionHandle four;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &boxes));
  TF_RETURN_IF_ERROR(context->WithValue(context->Dim(boxes, 2), 4, &four));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 2, &scores));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 2, &classes));
  TF_RETURN_IF_ERROR(context->Merge(scores, classes, &scores));
  DimensionHandle batch, num_boxes;
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(boxes, 0), context->Dim(scores, 0), &batch));
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(boxes, 1), context->Dim(scores, 1), &num_boxes));
  context->set_output(0, context->MakeShape({batch, max_output}));
  context->set_output(1, context->MakeShape({batch}));
  return absl::OkStatus();
}

REGISTER_OP("MrcnnNms")
    .Input("boxes: float")
    .Input("scores: float")
    .Input("classes: int32")
    .Output("indices: int32")
    .Output("count: int32")
    .Attr("iou_threshold: float")
    .Attr("score_threshold: float")
    .Attr("max_output: int >= 1")
    .SetShapeFn(NmsShape)
    .Doc(R"doc(
Keeps the best box of every group of boxes that overlap and share a class.

boxes: [B, N, 4] as x1, y1, x2, y2. One that is not finite is never kept.
scores: [B, N]; one that is not finite is never kept.
classes: [B, N]; boxes of different classes do not suppress each other.
indices: [B, max_output] by descending score, ties by index, padded with 0.
count: [B] indices that are not padding.
iou_threshold: a box is suppressed by a kept one above this IoU.
score_threshold: a box is kept only above this score.
)doc");

class NmsCpuOp : public OpKernel {
 public:
  explicit NmsCpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("iou_threshold", &iou_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("score_threshold", &score_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("max_output", &max_output_));
    OP_REQUIRES(context, iou_threshold_ >= 0.0f && iou_threshold_ <= 1.0f,
                absl::InvalidArgumentError(
                    absl::StrCat("iou_threshold must be in 0..1, got ", iou_threshold_)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& boxes = context->input(0);
    const Tensor& scores = context->input(1);
    const Tensor& classes = context->input(2);
    OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(2) == 4,
                absl::InvalidArgumentError(
                    absl::StrCat("boxes must be [B, N, 4], got ", boxes.shape().DebugString())));
    const int64_t batch = boxes.dim_size(0);
    const int64_t num_boxes = boxes.dim_size(1);
    const tensorflow::TensorShape expected({batch, num_boxes});
    OP_REQUIRES(context, scores.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("scores must be ", expected.DebugString(),
                                                        " as boxes tell, got ",
                                                        scores.shape().DebugString())));
    OP_REQUIRES(context, classes.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("classes must be ", expected.DebugString(),
                                                        " as boxes tell, got ",
                                                        classes.shape().DebugString())));
    Tensor* indices = nullptr;
    Tensor* count = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, max_output_}, &indices));
    OP_REQUIRES_OK(context, context->allocate_output(1, {batch}, &count));
    std::vector<float> kept_scores(batch * max_output_);
    const NmsOptions options = {batch,          num_boxes,        max_output_,    0,
                                iou_threshold_, score_threshold_, NmsMode::kHard, 0.5f};
    NmsCpu(options, boxes.flat<float>().data(), scores.flat<float>().data(),
           classes.flat<int32_t>().data(), indices->flat<int32_t>().data(), kept_scores.data(),
           count->flat<int32_t>().data(), DeviceParallelFor(context));
  }

 private:
  float iou_threshold_;
  float score_threshold_;
  int max_output_;
};

REGISTER_KERNEL_BUILDER(Name("MrcnnNms").Device(tensorflow::DEVICE_CPU), NmsCpuOp);

}  // namespace
}  // namespace mrcnn
