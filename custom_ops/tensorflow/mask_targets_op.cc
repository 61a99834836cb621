#include "../kernels/mask_targets.h"
#include "op_kernel.h"

namespace mrcnn {
namespace {

absl::Status MaskTargetsShape(InferenceContext* context) {
  int size;
  TF_RETURN_IF_ERROR(context->GetAttr("size", &size));
  const int ranks[] = {2, 3, 3, 3, 2, 2};
  DimensionHandle batch = context->UnknownDim();
  ShapeHandle shape;
  for (int i = 0; i < 6; ++i) {
    TF_RETURN_IF_ERROR(context->WithRank(context->input(i), ranks[i], &shape));
    TF_RETURN_IF_ERROR(context->Merge(batch, context->Dim(shape, 0), &batch));
  }
  DimensionHandle num_rois = context->UnknownDim();
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(context->input(3), 1),
                                    context->Dim(context->input(4), 1), &num_rois));
  context->set_output(0, context->MakeShape({batch, num_rois, size, size}));
  return absl::OkStatus();
}

REGISTER_OP(MRCNN_OP_NAME("MrcnnMaskTargets"))
    .Input("masks: uint8")
    .Input("mask_shapes: int32")
    .Input("mask_boxes: float")
    .Input("rois: float")
    .Input("matches: int32")
    .Input("image_sizes: int32")
    .Output("targets: float")
    .Attr("size: int >= 1")
    .Attr("sampling_ratio: int >= 0")
    .Attr("aligned: bool")
    .Attr("at_borders: bool")
    .Attr("binary: bool")
    .SetShapeFn(MaskTargetsShape)
    .Doc(R"doc(
Pools the part of an object's mask that lies in a RoI.

masks: [B, L] bit-packed crops of the objects, one after the other, each from a byte boundary.
mask_shapes: [B, M, 2] height and width of the crops.
mask_boxes: [B, M, 4] region that a crop covers, as x1, y1, x2, y2 in pixels of the image.
rois: [B, P, 4]; one that is not finite gives zeros.
matches: [B, P] object of each RoI.
image_sizes: [B, 2] height and width, read with at_borders only.
targets: [B, P, size, size] in 0..1.
sampling_ratio: sampling points along each side of a bin; 0 for one a pixel of the crop, rounded up.
aligned: whether the centre of pixel 0 lies half a pixel from the edge.
at_borders: whether a mask that reaches the border of its image goes on beyond it.
binary: 1 from a half on, else 0.
)doc");

#if !defined(MRCNN_EMULATED)
class MaskTargetsCpuOp : public OpKernel {
 public:
  explicit MaskTargetsCpuOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("size", &options_.size));
    OP_REQUIRES_OK(context, context->GetAttr("sampling_ratio", &options_.sampling_ratio));
    OP_REQUIRES_OK(context, context->GetAttr("aligned", &options_.aligned));
    OP_REQUIRES_OK(context, context->GetAttr("at_borders", &options_.at_borders));
    OP_REQUIRES_OK(context, context->GetAttr("binary", &options_.binary));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& masks = context->input(0);
    const Tensor& shapes = context->input(1);
    const Tensor& rois = context->input(3);
    OP_REQUIRES(context, masks.dims() == 2,
                absl::InvalidArgumentError(
                    absl::StrCat("masks must be [B, L], got ", masks.shape().DebugString())));
    OP_REQUIRES(context, shapes.dims() == 3,
                absl::InvalidArgumentError(absl::StrCat("mask_shapes must be [B, M, 2], got ",
                                                        shapes.shape().DebugString())));
    OP_REQUIRES(context, rois.dims() == 3,
                absl::InvalidArgumentError(
                    absl::StrCat("rois must be [B, P, 4], got ", rois.shape().DebugString())));
    const int64_t batch = masks.dim_size(0);
    const int64_t objects = shapes.dim_size(1), num_rois = rois.dim_size(1);
    OP_REQUIRES_OK(context, CheckShape("mask_shapes", shapes, {batch, objects, 2}));
    OP_REQUIRES_OK(context, CheckShape("mask_boxes", context->input(2), {batch, objects, 4}));
    OP_REQUIRES_OK(context, CheckShape("rois", rois, {batch, num_rois, 4}));
    OP_REQUIRES_OK(context, CheckShape("matches", context->input(4), {batch, num_rois}));
    OP_REQUIRES_OK(context, CheckShape("image_sizes", context->input(5), {batch, 2}));
    Tensor* targets = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(
                                0, {batch, num_rois, options_.size, options_.size}, &targets));
    MaskTargetsOptions options = options_;
    options.batch = batch;
    options.num_bytes = masks.dim_size(1);
    options.num_objects = objects;
    options.num_rois = num_rois;
    const std::string error = MaskTargetsCpu(
        options, masks.flat<uint8_t>().data(), shapes.flat<int32_t>().data(),
        context->input(2).flat<float>().data(), rois.flat<float>().data(),
        context->input(4).flat<int32_t>().data(), context->input(5).flat<int32_t>().data(),
        targets->flat<float>().data(), DeviceParallelFor(context));
    OP_REQUIRES(context, error.empty(), absl::InvalidArgumentError(error));
  }

 private:
  static absl::Status CheckShape(const char* name, const Tensor& tensor,
                                 const TensorShape& expected) {
    if (tensor.shape() == expected) return absl::OkStatus();
    return absl::InvalidArgumentError(absl::StrCat(name, " must be ", expected.DebugString(),
                                                   " as the other arguments tell, got ",
                                                   tensor.shape().DebugString()));
  }

  MaskTargetsOptions options_ = {};
};

MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnMaskTargets")), MaskTargetsCpuOp);
#endif

}  // namespace
}  // namespace mrcnn
