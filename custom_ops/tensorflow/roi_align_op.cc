#include "../kernels/roi_align.h"
#include "op_kernel.h"
#if MRCNN_HAS_GPU
#include "tensorflow/core/util/determinism.h"
#endif

namespace mrcnn {
namespace {

absl::Status RoiAlignShape(InferenceContext* context) {
  int num_levels, height, width;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &num_levels));
  TF_RETURN_IF_ERROR(context->GetAttr("output_height", &height));
  TF_RETURN_IF_ERROR(context->GetAttr("output_width", &width));
  ShapeHandle boxes, map;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(num_levels), 3, &boxes));
  DimensionHandle batch = context->Dim(boxes, 0);
  DimensionHandle channels = context->UnknownDim();
  for (int l = 0; l < num_levels; ++l) {
    TF_RETURN_IF_ERROR(context->WithRank(context->input(l), 4, &map));
    TF_RETURN_IF_ERROR(context->Merge(batch, context->Dim(map, 0), &batch));
    TF_RETURN_IF_ERROR(context->Merge(channels, context->Dim(map, 3), &channels));
  }
  context->set_output(0,
                      context->MakeShape({batch, context->Dim(boxes, 1), height, width, channels}));
  return absl::OkStatus();
}

absl::Status RoiAlignGradShape(InferenceContext* context) {
  int num_levels;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &num_levels));
  for (int l = 0; l < num_levels; ++l) {
    ShapeHandle map;
    TF_RETURN_IF_ERROR(context->MakeShapeFromShapeTensor(2 + l, &map));
    TF_RETURN_IF_ERROR(context->WithRank(map, 4, &map));
    context->set_output(l, map);
  }
  return absl::OkStatus();
}

REGISTER_OP(MRCNN_OP_NAME("MrcnnRoiAlign"))
    .Input("pyramid: num_levels * T")
    .Input("boxes: float")
    .Output("pooled: T")
    .Attr("T: {float, half, bfloat16} = DT_FLOAT")
    .Attr("num_levels: int >= 1")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("strides: list(int) >= 1")
    .Attr("level_areas: list(float) = []")
    .Attr("sampling_ratio: int >= 0 = 2")
    .Attr("aligned: bool = true")
    .SetShapeFn(RoiAlignShape)
    .Doc(R"doc(
Pools a grid of bilinearly interpolated features from every box.

pyramid: feature maps [B, H_l, W_l, C], finest first.
boxes: [B, N, 4] as x1, y1, x2, y2 in pixels; one that is not finite pools to 0.
pooled: [B, N, output_height, output_width, C].
strides: pixels between the cells of each map.
level_areas: smallest box area in square pixels for each map but the first.
sampling_ratio: sampling points along each side of a bin; 0 for one a cell, rounded up.
aligned: whether the centre of cell 0 lies half a cell from the edge.
)doc");

REGISTER_OP(MRCNN_OP_NAME("MrcnnRoiAlignGrad"))
    .Input("gradient: T")
    .Input("boxes: float")
    .Input("pyramid_shapes: num_levels * int32")
    .Output("pyramid_gradients: num_levels * T")
    .Attr("T: {float, half, bfloat16} = DT_FLOAT")
    .Attr("num_levels: int >= 1")
    .Attr("output_height: int >= 1")
    .Attr("output_width: int >= 1")
    .Attr("strides: list(int) >= 1")
    .Attr("level_areas: list(float) = []")
    .Attr("sampling_ratio: int >= 0 = 2")
    .Attr("aligned: bool = true")
    .SetShapeFn(RoiAlignGradShape)
    .Doc(R"doc(
Gradient of MrcnnRoiAlign with respect to the pyramid.

gradient: of the output, [B, N, output_height, output_width, C].
boxes: as given to MrcnnRoiAlign.
pyramid_shapes: shape of each map, [4].
pyramid_gradients: [B, H_l, W_l, C].
)doc");

// The attributes and checks that both directions share.
class RoiAlignBase : public OpKernel {
 public:
  explicit RoiAlignBase(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("num_levels", &num_levels_));
    OP_REQUIRES_OK(context, context->GetAttr("output_height", &options_.output_height));
    OP_REQUIRES_OK(context, context->GetAttr("output_width", &options_.output_width));
    OP_REQUIRES_OK(context, context->GetAttr("strides", &strides_));
    OP_REQUIRES_OK(context, context->GetAttr("level_areas", &level_areas_));
    OP_REQUIRES_OK(context, context->GetAttr("sampling_ratio", &options_.sampling_ratio));
    OP_REQUIRES_OK(context, context->GetAttr("aligned", &options_.aligned));
    const size_t levels = num_levels_;
    OP_REQUIRES(context, strides_.size() == levels && level_areas_.size() + 1 == levels,
                absl::InvalidArgumentError(
                    absl::StrCat("MrcnnRoiAlign takes one stride for each of the ", levels,
                                 " maps and one level area fewer, got ", strides_.size(),
                                 " strides and ", level_areas_.size(), " level_areas")));
    for (int stride : strides_) {
      OP_REQUIRES(
          context, stride > 0,
          absl::InvalidArgumentError(absl::StrCat("strides must be positive, got ", stride)));
    }
  }

 protected:
  // Checks the shapes and completes the options for one call.
  absl::Status MakeOptions(const Tensor& boxes, const std::vector<TensorShape>& maps,
                           RoiAlignOptions* options) const {
    if (boxes.dims() != 3 || boxes.dim_size(2) != 4) {
      return absl::InvalidArgumentError(
          absl::StrCat("boxes must be [B, N, 4], got ", boxes.shape().DebugString()));
    }
    *options = options_;
    options->batch = boxes.dim_size(0);
    options->num_boxes = boxes.dim_size(1);
    for (size_t l = 0; l < maps.size(); ++l) {
      const TensorShape& map = maps[l];
      const bool fits = map.dims() == 4 && map.dim_size(0) == options->batch &&
                        map.dim_size(1) > 0 && map.dim_size(2) > 0 &&
                        map.dim_size(3) == maps[0].dim_size(3);
      if (!fits) {
        return absl::InvalidArgumentError(absl::StrCat(
            "pyramid[", l, "] must be [B, H, W, C] with H and W above 0, B as in boxes ",
            boxes.shape().DebugString(), " and C as in pyramid[0] ", maps[0].DebugString(),
            ", got ", map.DebugString()));
      }
      options->levels.push_back({map.dim_size(1), map.dim_size(2),
                                 static_cast<float>(1.0 / strides_[l]),
                                 l == 0 ? 0.0f : level_areas_[l - 1]});
    }
    options->channels = maps[0].dim_size(3);
    return absl::OkStatus();
  }

  int num_levels_;

 private:
  RoiAlignOptions options_;
  std::vector<int> strides_;
  std::vector<float> level_areas_;
};

template <class Element>
const Element* Data(const Tensor& tensor) {
  return static_cast<const Element*>(tensor.data());
}

template <class Element>
Element* Data(Tensor* tensor) {
  return static_cast<Element*>(tensor->data());
}

template <class Element>
class RoiAlignOp : public RoiAlignBase {
 public:
  using RoiAlignBase::RoiAlignBase;

  void Compute(OpKernelContext* context) override {
    OpInputList pyramid;
    OP_REQUIRES_OK(context, context->input_list("pyramid", &pyramid));
    const Tensor& boxes = context->input(num_levels_);
    std::vector<TensorShape> maps;
    std::vector<const Element*> features;
    for (const Tensor& map : pyramid) {
      maps.push_back(map.shape());
      features.push_back(Data<Element>(map));
    }
    RoiAlignOptions options;
    OP_REQUIRES_OK(context, MakeOptions(boxes, maps, &options));
    Tensor* pooled = nullptr;
    OP_REQUIRES_OK(
        context, context->allocate_output(0,
                                          {options.batch, options.num_boxes, options.output_height,
                                           options.output_width, options.channels},
                                          &pooled));
    Pool(context, options, features, boxes.flat<float>().data(), Data<Element>(pooled));
  }

 protected:
  virtual void Pool(OpKernelContext* context, const RoiAlignOptions& options,
                    const std::vector<const Element*>& features, const float* boxes,
                    Element* output) = 0;
};

template <class Element>
class RoiAlignGradOp : public RoiAlignBase {
 public:
  using RoiAlignBase::RoiAlignBase;

  void Compute(OpKernelContext* context) override {
    const Tensor& gradient = context->input(0);
    const Tensor& boxes = context->input(1);
    OpInputList shapes;
    OP_REQUIRES_OK(context, context->input_list("pyramid_shapes", &shapes));
    std::vector<TensorShape> maps(num_levels_);
    for (int l = 0; l < num_levels_; ++l) {
      OP_REQUIRES(
          context, shapes[l].dims() == 1 && shapes[l].dim_size(0) == 4,
          absl::InvalidArgumentError(absl::StrCat("pyramid_shapes[", l, "] must be [4], got ",
                                                  shapes[l].shape().DebugString())));
      const int32_t* sizes = shapes[l].flat<int32_t>().data();
      OP_REQUIRES_OK(context, TensorShape::BuildTensorShape(
                                  {sizes[0], sizes[1], sizes[2], sizes[3]}, &maps[l]));
    }
    RoiAlignOptions options;
    OP_REQUIRES_OK(context, MakeOptions(boxes, maps, &options));
    const TensorShape expected({options.batch, options.num_boxes, options.output_height,
                                options.output_width, options.channels});
    OP_REQUIRES(context, gradient.shape() == expected,
                absl::InvalidArgumentError(absl::StrCat("gradient must be ", expected.DebugString(),
                                                        ", got ", gradient.shape().DebugString())));
    OpOutputList outputs;
    OP_REQUIRES_OK(context, context->output_list("pyramid_gradients", &outputs));
    std::vector<Element*> gradients(num_levels_);
    for (int l = 0; l < num_levels_; ++l) {
      Tensor* output = nullptr;
      OP_REQUIRES_OK(context, outputs.allocate(l, maps[l], &output));
      gradients[l] = Data<Element>(output);
    }
    Spread(context, options, Data<Element>(gradient), boxes.flat<float>().data(), gradients);
  }

 protected:
  virtual void Spread(OpKernelContext* context, const RoiAlignOptions& options,
                      const Element* gradient, const float* boxes,
                      const std::vector<Element*>& feature_gradients) = 0;
};

#if !defined(MRCNN_EMULATED)
template <class Element>
class RoiAlignCpuOp : public RoiAlignOp<Element> {
 public:
  using RoiAlignOp<Element>::RoiAlignOp;

 protected:
  void Pool(OpKernelContext* context, const RoiAlignOptions& options,
            const std::vector<const Element*>& features, const float* boxes,
            Element* output) override {
    RoiAlignCpu(options, features, boxes, output, DeviceParallelFor(context));
  }
};

template <class Element>
class RoiAlignGradCpuOp : public RoiAlignGradOp<Element> {
 public:
  using RoiAlignGradOp<Element>::RoiAlignGradOp;

 protected:
  void Spread(OpKernelContext* context, const RoiAlignOptions& options, const Element* gradient,
              const float* boxes, const std::vector<Element*>& feature_gradients) override {
    RoiAlignGradCpu(options, gradient, boxes, feature_gradients, DeviceParallelFor(context));
  }
};
#endif

#if MRCNN_HAS_GPU
template <class Element>
class RoiAlignGpuOp : public RoiAlignOp<Element> {
 public:
  using RoiAlignOp<Element>::RoiAlignOp;

 protected:
  void Pool(OpKernelContext* context, const RoiAlignOptions& options,
            const std::vector<const Element*>& features, const float* boxes,
            Element* output) override {
    OP_REQUIRES_OK(context,
                   ToStatus(RoiAlignGpu(options, features, boxes, output, DeviceStream(context))));
  }
};

template <class Element>
class RoiAlignGradGpuOp : public RoiAlignGradOp<Element> {
 public:
  using RoiAlignGradOp<Element>::RoiAlignGradOp;

 protected:
  void Spread(OpKernelContext* context, const RoiAlignOptions& options, const Element* gradient,
              const float* boxes, const std::vector<Element*>& feature_gradients) override {
    Tensor memory;
    void* workspace = nullptr;
    OP_REQUIRES_OK(context, AllocateWorkspace(context, RoiAlignGradGpuWorkspace<Element>(options),
                                              &memory, &workspace));
    OP_REQUIRES_OK(context, ToStatus(RoiAlignGradGpu(options, gradient, boxes, feature_gradients,
                                                     tensorflow::OpDeterminismRequired(), workspace,
                                                     DeviceStream(context))));
  }
};
#endif

#define MRCNN_REGISTER(Element, Type)                                                    \
  MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnRoiAlign")).TypeConstraint<Type>("T"),     \
                     RoiAlignCpuOp<Element>);                                            \
  MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnRoiAlignGrad")).TypeConstraint<Type>("T"), \
                     RoiAlignGradCpuOp<Element>);
MRCNN_REGISTER(float, float)
MRCNN_REGISTER(Float16, Eigen::half)
MRCNN_REGISTER(BFloat16, Eigen::bfloat16)
#undef MRCNN_REGISTER

#if MRCNN_HAS_GPU
#define MRCNN_REGISTER(Element, Type)                                                \
  MRCNN_REGISTER_GPU(Name(MRCNN_OP_NAME("MrcnnRoiAlign")).TypeConstraint<Type>("T"), \
                     RoiAlignGpuOp<Element>);                                        \
  MRCNN_REGISTER_GPU(Name(MRCNN_OP_NAME("MrcnnRoiAlignGrad"))                        \
                         .TypeConstraint<Type>("T")                                  \
                         .HostMemory("pyramid_shapes"),                              \
                     RoiAlignGradGpuOp<Element>);
MRCNN_REGISTER(float, float)
MRCNN_REGISTER(Float16, Eigen::half)
MRCNN_REGISTER(BFloat16, Eigen::bfloat16)
#undef MRCNN_REGISTER
#endif

}  // namespace
}  // namespace mrcnn
