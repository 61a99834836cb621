#include "../kernels/match_boxes.h"
#include "op_kernel.h"

namespace mrcnn {
namespace {

absl::Status MatchBoxesShape(InferenceContext* context) {
  ShapeHandle anchors, boxes, valid;
  TF_RETURN_IF_ERROR(context->WithRankAtLeast(context->input(0), 2, &anchors));
  TF_RETURN_IF_ERROR(context->WithRankAtMost(anchors, 3, &anchors));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 3, &boxes));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 2, &valid));
  DimensionHandle batch;
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(boxes, 0), context->Dim(valid, 0), &batch));
  const DimensionHandle num_anchors =
      context->RankKnown(anchors) ? context->Dim(anchors, -2) : context->UnknownDim();
  context->set_output(0, context->MakeShape({batch, num_anchors}));
  return absl::OkStatus();
}

REGISTER_OP(MRCNN_OP_NAME("MrcnnMatchBoxes"))
    .Input("anchors: float")
    .Input("boxes: float")
    .Input("valid: bool")
    .Output("matches: int32")
    .Attr("high_threshold: float")
    .Attr("low_threshold: float")
    .Attr("allow_low_quality: bool")
    .SetShapeFn(MatchBoxesShape)
    .Doc(R"doc(
Gives each anchor the ground-truth box that it overlaps most, or none.

anchors: [A, 4] for all images or [B, A, 4], as x1, y1, x2, y2.
boxes: [B, M, 4].
valid: [B, M]; False for boxes that nothing may match.
matches: [B, A] index of a box, -1 for background, -2 to ignore.
high_threshold: IoU from which an anchor is foreground.
low_threshold: IoU below which an anchor is background.
allow_low_quality: whether a box also keeps the anchors that overlap it most.
)doc");

// The attributes and checks that the CPU and the GPU share.
class MatchBoxesBase : public OpKernel {
 public:
  explicit MatchBoxesBase(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("high_threshold", &high_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("low_threshold", &low_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("allow_low_quality", &allow_low_quality_));
    OP_REQUIRES(context, low_threshold_ <= high_threshold_,
                absl::InvalidArgumentError(absl::StrCat("low_threshold ", low_threshold_,
                                                        " must not be above high_threshold ",
                                                        high_threshold_)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& anchors = context->input(0);
    const Tensor& boxes = context->input(1);
    const Tensor& valid = context->input(2);
    OP_REQUIRES(context, boxes.dims() == 3 && boxes.dim_size(2) == 4,
                absl::InvalidArgumentError(
                    absl::StrCat("boxes must be [B, M, 4], got ", boxes.shape().DebugString())));
    const int64_t batch = boxes.dim_size(0);
    const int64_t num_boxes = boxes.dim_size(1);
    const int rank = anchors.dims();
    OP_REQUIRES(context,
                (rank == 2 || (rank == 3 && anchors.dim_size(0) == batch)) &&
                    anchors.dim_size(rank - 1) == 4,
                absl::InvalidArgumentError(absl::StrCat(
                    "anchors must be [A, 4] or [B, A, 4] with B as in boxes ",
                    boxes.shape().DebugString(), ", got ", anchors.shape().DebugString())));
    const TensorShape expected({batch, num_boxes});
    OP_REQUIRES(context, valid.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("valid must be ", expected.DebugString(),
                                                        " as boxes tell, got ",
                                                        valid.shape().DebugString())));
    const int64_t num_anchors = anchors.dim_size(rank - 2);
    Tensor* matches = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, num_anchors}, &matches));
    Match(context,
          {batch, num_anchors, num_boxes, rank == 2, high_threshold_, low_threshold_,
           allow_low_quality_},
          anchors.flat<float>().data(), boxes.flat<float>().data(), valid.flat<bool>().data(),
          matches->flat<int32_t>().data());
  }

 protected:
  virtual void Match(OpKernelContext* context, const MatchBoxesOptions& options,
                     const float* anchors, const float* boxes, const bool* valid,
                     int32_t* matches) = 0;

 private:
  float high_threshold_;
  float low_threshold_;
  bool allow_low_quality_;
};

#if !defined(MRCNN_EMULATED)
class MatchBoxesCpuOp : public MatchBoxesBase {
 public:
  using MatchBoxesBase::MatchBoxesBase;

 protected:
  void Match(OpKernelContext* context, const MatchBoxesOptions& options, const float* anchors,
             const float* boxes, const bool* valid, int32_t* matches) override {
    MatchBoxesCpu(options, anchors, boxes, valid, matches, DeviceParallelFor(context));
  }
};

MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnMatchBoxes")), MatchBoxesCpuOp);
#endif

#if MRCNN_HAS_GPU
class MatchBoxesGpuOp : public MatchBoxesBase {
 public:
  using MatchBoxesBase::MatchBoxesBase;

 protected:
  void Match(OpKernelContext* context, const MatchBoxesOptions& options, const float* anchors,
             const float* boxes, const bool* valid, int32_t* matches) override {
    Tensor memory;
    void* workspace = nullptr;
    OP_REQUIRES_OK(
        context, AllocateWorkspace(context, MatchBoxesGpuWorkspace(options), &memory, &workspace));
    OP_REQUIRES_OK(context, ToStatus(MatchBoxesGpu(options, anchors, boxes, valid, matches,
                                                   workspace, DeviceStream(context))));
  }
};

MRCNN_REGISTER_GPU(Name(MRCNN_OP_NAME("MrcnnMatchBoxes")), MatchBoxesGpuOp);
#endif

}  // namespace
}  // namespace mrcnn
