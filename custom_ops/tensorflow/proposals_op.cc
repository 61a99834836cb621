#include "../kernels/proposals.h"
#include "op_kernel.h"

namespace mrcnn {
namespace {

absl::Status ProposalsShape(InferenceContext* context) {
  int num_levels, post_nms_top_n;
  TF_RETURN_IF_ERROR(context->GetAttr("num_levels", &num_levels));
  TF_RETURN_IF_ERROR(context->GetAttr("post_nms_top_n", &post_nms_top_n));
  ShapeHandle shape;
  TF_RETURN_IF_ERROR(context->WithRank(context->input(3 * num_levels), 2, &shape));
  DimensionHandle batch = context->Dim(shape, 0);
  for (int l = 0; l < num_levels; ++l) {
    TF_RETURN_IF_ERROR(context->WithRank(context->input(l), 2, &shape));
    TF_RETURN_IF_ERROR(context->Merge(batch, context->Dim(shape, 0), &batch));
    TF_RETURN_IF_ERROR(context->WithRank(context->input(num_levels + l), 3, &shape));
    TF_RETURN_IF_ERROR(context->WithRank(context->input(2 * num_levels + l), 2, &shape));
  }
  context->set_output(0, context->MakeShape({batch, post_nms_top_n, 4}));
  context->set_output(1, context->MakeShape({batch, post_nms_top_n}));
  context->set_output(2, context->MakeShape({batch}));
  return absl::OkStatus();
}

REGISTER_OP(MRCNN_OP_NAME("MrcnnProposals"))
    .Input("logits: num_levels * float")
    .Input("deltas: num_levels * float")
    .Input("anchors: num_levels * float")
    .Input("image_sizes: float")
    .Output("boxes: float")
    .Output("kept_logits: float")
    .Output("count: int32")
    .Attr("num_levels: int >= 1")
    .Attr("pre_nms_top_n: int >= 1")
    .Attr("post_nms_top_n: int >= 1")
    .Attr("nms_threshold: float")
    .Attr("min_size: float")
    .SetShapeFn(ProposalsShape)
    .Doc(R"doc(
Keeps the most likely boxes of each level, drops doubles, keeps the most likely of all.

logits: [B, N_l] for each level.
deltas: [B, N_l, 4].
anchors: [N_l, 4] as x1, y1, x2, y2 in pixels.
image_sizes: [B, 2], height and width; boxes are clipped to them.
boxes: [B, post_nms_top_n, 4], padded with 0.
kept_logits: [B, post_nms_top_n], descending, padded with minus infinity.
count: [B] rows that are not padding.
pre_nms_top_n: boxes of a level that take part.
nms_threshold: a box is dropped if one of its level that is kept overlaps it above this IoU.
min_size: of both sides of a box, in pixels.
)doc");

absl::Status CheckLevel(int l, const Tensor& logits, const Tensor& deltas, const Tensor& anchors,
                        int64_t batch) {
  if (logits.dims() != 2 || logits.dim_size(0) != batch) {
    return absl::InvalidArgumentError(absl::StrCat("logits[", l, "] must be [", batch,
                                                   ", N] as image_sizes tell, got ",
                                                   logits.shape().DebugString()));
  }
  const int64_t size = logits.dim_size(1);
  const TensorShape expected_deltas({batch, size, 4}), expected_anchors({size, 4});
  if (deltas.shape() != expected_deltas) {
    return absl::InvalidArgumentError(
        absl::StrCat("deltas[", l, "] must be ", expected_deltas.DebugString(),
                     " as logits tell, got ", deltas.shape().DebugString()));
  }
  if (anchors.shape() != expected_anchors) {
    return absl::InvalidArgumentError(
        absl::StrCat("anchors[", l, "] must be ", expected_anchors.DebugString(),
                     " as logits tell, got ", anchors.shape().DebugString()));
  }
  return absl::OkStatus();
}

using Levels = std::vector<const float*>;

// The attributes and checks that the CPU and the GPU share.
class ProposalsBase : public OpKernel {
 public:
  explicit ProposalsBase(OpKernelConstruction* context) : OpKernel(context) {
    OP_REQUIRES_OK(context, context->GetAttr("pre_nms_top_n", &pre_nms_top_n_));
    OP_REQUIRES_OK(context, context->GetAttr("post_nms_top_n", &post_nms_top_n_));
    OP_REQUIRES_OK(context, context->GetAttr("nms_threshold", &nms_threshold_));
    OP_REQUIRES_OK(context, context->GetAttr("min_size", &min_size_));
    OP_REQUIRES(context, nms_threshold_ >= 0.0f && nms_threshold_ <= 1.0f,
                absl::InvalidArgumentError(
                    absl::StrCat("nms_threshold must be in 0..1, got ", nms_threshold_)));
  }

  void Compute(OpKernelContext* context) override {
    OpInputList logits, deltas, anchors;
    OP_REQUIRES_OK(context, context->input_list("logits", &logits));
    OP_REQUIRES_OK(context, context->input_list("deltas", &deltas));
    OP_REQUIRES_OK(context, context->input_list("anchors", &anchors));
    const Tensor& image_sizes = context->input(context->num_inputs() - 1);
    OP_REQUIRES(context, image_sizes.dims() == 2 && image_sizes.dim_size(1) == 2,
                absl::InvalidArgumentError(absl::StrCat("image_sizes must be [B, 2], got ",
                                                        image_sizes.shape().DebugString())));
    const int64_t batch = image_sizes.dim_size(0);
    ProposalOptions options = {batch,          {},       pre_nms_top_n_, post_nms_top_n_,
                               nms_threshold_, min_size_};
    Levels all_logits, all_deltas, all_anchors;
    for (int l = 0; l < logits.size(); ++l) {
      OP_REQUIRES_OK(context, CheckLevel(l, logits[l], deltas[l], anchors[l], batch));
      options.level_sizes.push_back(logits[l].dim_size(1));
      all_logits.push_back(logits[l].flat<float>().data());
      all_deltas.push_back(deltas[l].flat<float>().data());
      all_anchors.push_back(anchors[l].flat<float>().data());
    }
    Tensor *boxes = nullptr, *kept_logits = nullptr, *count = nullptr;
    OP_REQUIRES_OK(context, context->allocate_output(0, {batch, post_nms_top_n_, 4}, &boxes));
    OP_REQUIRES_OK(context, context->allocate_output(1, {batch, post_nms_top_n_}, &kept_logits));
    OP_REQUIRES_OK(context, context->allocate_output(2, {batch}, &count));
    Propose(context, options, all_logits, all_deltas, all_anchors, image_sizes.flat<float>().data(),
            boxes->flat<float>().data(), kept_logits->flat<float>().data(),
            count->flat<int32_t>().data());
  }

 protected:
  virtual void Propose(OpKernelContext* context, const ProposalOptions& options,
                       const Levels& logits, const Levels& deltas, const Levels& anchors,
                       const float* image_sizes, float* boxes, float* kept_logits,
                       int32_t* counts) = 0;

 private:
  int pre_nms_top_n_;
  int post_nms_top_n_;
  float nms_threshold_;
  float min_size_;
};

#if !defined(MRCNN_EMULATED)
class ProposalsCpuOp : public ProposalsBase {
 public:
  using ProposalsBase::ProposalsBase;

 protected:
  void Propose(OpKernelContext* context, const ProposalOptions& options, const Levels& logits,
               const Levels& deltas, const Levels& anchors, const float* image_sizes, float* boxes,
               float* kept_logits, int32_t* counts) override {
    ProposalsCpu(options, logits, deltas, anchors, image_sizes, boxes, kept_logits, counts,
                 DeviceParallelFor(context));
  }
};

MRCNN_REGISTER_CPU(Name(MRCNN_OP_NAME("MrcnnProposals")), ProposalsCpuOp);
#endif

#if MRCNN_HAS_GPU
class ProposalsGpuOp : public ProposalsBase {
 public:
  using ProposalsBase::ProposalsBase;

 protected:
  void Propose(OpKernelContext* context, const ProposalOptions& options, const Levels& logits,
               const Levels& deltas, const Levels& anchors, const float* image_sizes, float* boxes,
               float* kept_logits, int32_t* counts) override {
    Tensor memory;
    void* workspace = nullptr;
    OP_REQUIRES_OK(context,
                   AllocateWorkspace(context, ProposalsGpuWorkspace(options), &memory, &workspace));
    OP_REQUIRES_OK(context,
                   ToStatus(ProposalsGpu(options, logits, deltas, anchors, image_sizes, boxes,
                                         kept_logits, counts, workspace, DeviceStream(context))));
  }
};

MRCNN_REGISTER_GPU(Name(MRCNN_OP_NAME("MrcnnProposals")), ProposalsGpuOp);
#endif

}  // namespace
}  // namespace mrcnn
