#include "../kernels/nms.h"
#include "op_kernel.h"

namespace mrcnn {
namespace {

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
  context->set_output(2, context->MakeShape({batch, max_output}));
  return absl::OkStatus();
}

REGISTER_OP(MRCNN_OP_NAME("MrcnnNms"))
    .Input("boxes: float")
    .Input("scores: float")
    .Input("classes: int32")
    .Output("indices: int32")
    .Output("count: int32")
    .Output("kept_scores: float")
    .Attr("iou_threshold: float")
    .Attr("score_threshold: float")
    .Attr("max_output: int >= 1")
    .Attr("mode: {'hard', 'linear', 'gaussian'} = 'hard'")
    .Attr("sigma: float = 0.5")
    .Attr("pre_nms_top_n: int >= 0 = 0")
    .SetShapeFn(NmsShape)
    .Doc(R"doc(
Keeps the best box of every group of boxes that overlap and share a class.

boxes: [B, N, 4] as x1, y1, x2, y2. One that is not finite is never kept.
scores: [B, N]; one that is not finite is never kept.
classes: [B, N]; boxes of different classes do not suppress each other.
indices: [B, max_output] by descending score, ties by index, padded with 0.
count: [B] indices that are not padding.
kept_scores: [B, max_output] scores of the kept boxes, decayed in the soft modes, padded with 0.
iou_threshold: a box is suppressed by a kept one above this IoU.
score_threshold: a box is kept only above this score; at least 0 in the soft modes.
mode: whether a box that overlaps a kept one of its class is dropped ('hard'), or has its score
  multiplied by 1 - IoU above the IoU threshold ('linear') or by exp(-IoU^2 / sigma) ('gaussian').
sigma: of the mode 'gaussian'.
pre_nms_top_n: only the so many best boxes of an image take part; 0 means all.
)doc");

// The attributes and checks that the CPU and the GPU share.
class NmsBase : public OpKernel {
 public:
  explicit NmsBase(OpKernelConstruction* context) : OpKernel(context) {
    std::string mode;
    int max_output, pre_nms_top_n;
    OP_REQUIRES_OK(context, context->GetAttr("iou_threshold", &options_.iou_threshold));
    OP_REQUIRES_OK(context, context->GetAttr("score_threshold", &options_.score_threshold));
    OP_REQUIRES_OK(context, context->GetAttr("max_output", &max_output));
    OP_REQUIRES_OK(context, context->GetAttr("mode", &mode));
    OP_REQUIRES_OK(context, context->GetAttr("sigma", &options_.sigma));
    OP_REQUIRES_OK(context, context->GetAttr("pre_nms_top_n", &pre_nms_top_n));
    options_.max_output = max_output;
    options_.pre_nms_top_n = pre_nms_top_n;
    options_.mode = mode == "hard"     ? NmsMode::kHard
                    : mode == "linear" ? NmsMode::kLinear
                                       : NmsMode::kGaussian;
    OP_REQUIRES(context, options_.iou_threshold >= 0.0f && options_.iou_threshold <= 1.0f,
                absl::InvalidArgumentError(
                    absl::StrCat("iou_threshold must be in 0..1, got ", options_.iou_threshold)));
    OP_REQUIRES(
        context, options_.sigma > 0.0f,
        absl::InvalidArgumentError(absl::StrCat("sigma must be above 0, got ", options_.sigma)));
    OP_REQUIRES(context, options_.mode == NmsMode::kHard || options_.score_threshold >= 0.0f,
                absl::InvalidArgumentError(absl::StrCat(
                    "score_threshold must be at least 0 in the soft modes, where a negative score "
                    "would rise as it decays, got ",
                    options_.score_threshold)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& boxes = context->input(0);
    const Tensor& scores = context->input(1);
    const Tensor& classes = context->input(2);
    OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(2) == 4,
                absl::InvalidArgumentError(
                    absl::StrCat("boxes must be [B, N, 4], got ", boxes.shape().DebugString())));
    NmsOptions options = options_;
    options.batch = boxes.dim_size(0);
    options.num_boxes = boxes.dim_size(1);
    const TensorShape expected({options.batch, options.num_boxes});
    OP_REQUIRES(context, scores.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("scores must be ", expected.DebugString(),
                                                        " as boxes tell, got ",
                                                        scores.shape().DebugString())));
    OP_REQUIRES(context, classes.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("classes must be ", expected.DebugString(),
                                                        " as boxes tell, got ",
                                                        classes.shape().DebugString())));
    const TensorShape rows({options.batch, options.max_output});
    Tensor *indices = nullptr, *count = nullptr, *kept_scores = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, rows, &indices));
    OP_REQUIRES_OK(context, context->allocate_output(1, {options.batch}, &count));
    OP_REQUIRES_OK(context, context->allocate_output(2, rows, &kept_scores));
    Suppress(context, options, boxes.flat<float>().data(), scores.flat<float>().data(),
             classes.flat<int32_t>().data(), indices->flat<int32_t>().data(),
             kept_scores->flat<float>().data(), count->flat<int32_t>().data());
  }

 protected:
  virtual void Suppress(OpKernelContext* context, const NmsOptions& options, const float* boxes,
                        const float* scores, const int32_t* classes, int32_t* indices,
                        float* kept_scores, int32_t* counts) = 0;

 private:
  NmsOptions options_ = {};  // without the sizes
};

#if !defined(MRCNN_EMULATED)
class NmsCpuOp : public NmsBase {
 public:
  using NmsBase::NmsBase;

 protected:
  void Suppress(OpKernelContext* context, const NmsOptions& options, const float* boxes,
                const float* scores, const int32_t* classes, int32_t* indices, float* kept_scores,
                int32_t* counts) override {
    NmsCpu(options, boxes, scores, classes, indices, kept_scores, counts,
           DeviceParallelFor(context));
  }
};

MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnNms")), NmsCpuOp);
#endif

#if MRCNN_HAS_GPU
class NmsGpuOp : public NmsBase {
 public:
  using NmsBase::NmsBase;

 protected:
  void Suppress(OpKernelContext* context, const NmsOptions& options, const float* boxes,
                const float* scores, const int32_t* classes, int32_t* indices, float* kept_scores,
                int32_t* counts) override {
    Tensor memory;
    void* workspace = nullptr;
    OP_REQUIRES_OK(context,
                   AllocateWorkspace(context, NmsGpuWorkspace(options), &memory, &workspace));
    OP_REQUIRES_OK(context, ToStatus(NmsGpu(options, boxes, scores, classes, indices, kept_scores,
                                            counts, workspace, DeviceStream(context))));
  }
};

MRCNN_REGISTER_GPU(Name(MRCNN_OP_NAME("MrcnnNms")), NmsGpuOp);
#endif

}  // namespace
}  // namespace mrcnn
