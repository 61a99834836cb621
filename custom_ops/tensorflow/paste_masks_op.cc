#include "../kernels/paste_masks.h"
#include "op_kernel.h"

namespace mrcnn {
namespace {

absl::Status PasteMasksShape(InferenceContext* context) {
  ShapeHandle masks, boxes, scalar;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(0), 3, &masks));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(1), 2, &boxes));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(2), 0, &scalar));
  TF_RETURN_IF_ERROR(context->WithRank(context->input(3), 0, &scalar));
  DimensionHandle count, height, width;
  TF_RETURN_IF_ERROR(context->Merge(context->Dim(masks, 0), context->Dim(boxes, 0), &count));
  TF_RETURN_IF_ERROR(context->MakeDimForScalarInput(2, &height));
  TF_RETURN_IF_ERROR(context->MakeDimForScalarInput(3, &width));
  context->set_output(0, context->MakeShape({count, height, width}));
  return absl::OkStatus();
}

REGISTER_OP(MRCNN_OP_NAME("MrcnnPasteMasks"))
    .Input("masks: float")
    .Input("boxes: float")
    .Input("height: int32")
    .Input("width: int32")
    .Output("pasted: uint8")
    .Attr("threshold: float")
    .SetShapeFn(PasteMasksShape)
    .Doc(R"doc(
Resamples mask probabilities into the boxes that they belong to, and thresholds them.

masks: [D, S, S] probabilities.
boxes: [D, 4] as x1, y1, x2, y2 in pixels of the image.
height: Height of the image in pixels.
width: Width of the image in pixels.
pasted: [D, height, width] of 0 and 1.
threshold: Probability from which a pixel is set, above 0.
)doc");

// Checks the inputs and allocates the output; where they lie in memory is up to the classes below.
class PasteMasksOp : public OpKernel {
 public:
  explicit PasteMasksOp(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("threshold", &threshold_));
    OP_REQUIRES(
        context, threshold_ > 0.0f,
        absl::InvalidArgumentError(absl::StrCat("threshold must be above 0, got ", threshold_)));
  }

  void Compute(OpKernelContext* context) override {
    const Tensor& masks = context->input(0);
    const Tensor& boxes = context->input(1);
    const Tensor& height = context->input(2);
    const Tensor& width = context->input(3);
    OP_REQUIRES(context, masks.dims() == 3,
                absl::InvalidArgumentError(
                    absl::StrCat("masks must be [D, S, S], got ", masks.shape().DebugString())));
    const TensorShape expected({masks.dim_size(0), 4});
    OP_REQUIRES(context, boxes.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("boxes must be ", expected.DebugString(),
                                                        " as masks tell, got ",
                                                        boxes.shape().DebugString())));
    int32_t sides[2];
    for (int i = 0; i < 2; ++i) {
      const Tensor& side = i == 0 ? height : width;
      const char* name = i == 0 ? "height" : "width";
      OP_REQUIRES(context, side.dims() == 0,
                  absl::InvalidArgumentError(
                      absl::StrCat(name, " must be a scalar, got ", side.shape().DebugString())));
      sides[i] = side.scalar<int32_t>()();
      OP_REQUIRES(
          context, sides[i] >= 0,
          absl::InvalidArgumentError(absl::StrCat(name, " must not be negative, got ", sides[i])));
    }
    const PasteMasksOptions options{masks.dim_size(0), masks.dim_size(1), masks.dim_size(2),
                                    sides[0],          sides[1],          threshold_};
    TensorShape shape;
    OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                {options.num_masks, options.height, options.width}, &shape));
    Tensor* pasted = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, shape, &pasted));
    if (pasted->NumElements() > 0) {
      Paste(context, options, masks.flat<float>().data(), boxes.flat<float>().data(),
            pasted->flat<uint8_t>().data());
    }
  }

 protected:
  virtual void Paste(OpKernelContext* context, const PasteMasksOptions& options, const float* masks,
                     const float* boxes, uint8_t* pasted) = 0;

 private:
  float threshold_;
};

class PasteMasksCpuOp : public PasteMasksOp {
 public:
  using PasteMasksOp::PasteMasksOp;

 protected:
  void Paste(OpKernelContext* context, const PasteMasksOptions& options, const float* masks,
             const float* boxes, uint8_t* pasted) override {
    PasteMasksCpu(options, masks, boxes, pasted, DeviceParallelFor(context));
  }
};

MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnPasteMasks")), PasteMasksCpuOp);

#if MRCNN_HAS_GPU
class PasteMasksGpuOp : public PasteMasksOp {
 public:
  using PasteMasksOp::PasteMasksOp;

 protected:
  void Paste(OpKernelContext* context, const PasteMasksOptions& options, const float* masks,
             const float* boxes, uint8_t* pasted) override {
    OP_REQUIRES_OK(context,
                   ToStatus(PasteMasksGpu(options, masks, boxes, pasted, DeviceStream(context))));
  }
};

MRCNN_REGISTER_GPU(Name(MRCNN_OP_NAME("MrcnnPasteMasks")).HostMemory("height").HostMemory("width"),
                   PasteMasksGpuOp);
#endif  // MRCNN_HAS_GPU

}  // namespace
}  // namespace mrcnn
