// RPN outputs to proposals, for Python.
#include "../kernels/proposals.h"

#include "module.h"

namespace py = pybind11;

namespace mrcnn {
namespace {

using Floats = py::array_t<float>;

py::tuple Proposals(const std::vector<py::object>& logits, const std::vector<py::object>& deltas,
                    const std::vector<py::object>& anchors, const py::object& image_sizes_argument,
                    int64_t pre_nms_top_n, int64_t post_nms_top_n, float nms_threshold,
                    float min_size) {
  if (logits.empty() || deltas.size() != logits.size() || anchors.size() != logits.size()) {
    throw py::value_error("logits, deltas and anchors must be one for each level, got " +
                          std::to_string(logits.size()) + ", " + std::to_string(deltas.size()) +
                          " and " + std::to_string(anchors.size()));
  }
  const auto image_sizes = CheckedArray<float>("image_sizes", image_sizes_argument, {kAny, 2});
  if (std::min(pre_nms_top_n, post_nms_top_n) < 1 ||
      std::max(pre_nms_top_n, post_nms_top_n) > INT32_MAX) {
    throw py::value_error("pre_nms_top_n and post_nms_top_n must be positive, got " +
                          std::to_string(pre_nms_top_n) + " and " + std::to_string(post_nms_top_n));
  }
  if (!(nms_threshold >= 0.0f && nms_threshold <= 1.0f)) {
    throw py::value_error("nms_threshold must be in 0..1, got " + std::to_string(nms_threshold));
  }
  ProposalOptions options{image_sizes.shape(0), {},      pre_nms_top_n, post_nms_top_n,
                          nms_threshold,        min_size};
  std::vector<Floats> arrays;
  std::vector<const float*> all_logits, all_deltas, all_anchors;
  const auto keep = [&](const Floats& array, std::vector<const float*>* pointers) {
    arrays.push_back(array);
    pointers->push_back(array.data());
  };
  for (size_t l = 0; l < logits.size(); ++l) {
    const std::string level = "[" + std::to_string(l) + "]";
    const auto scores = CheckedArray<float>("logits" + level, logits[l], {options.batch, kAny});
    const int64_t size = CheckedBoxes("logits" + level, scores.shape(1));
    options.level_sizes.push_back(size);
    keep(scores, &all_logits);
    keep(CheckedArray<float>("deltas" + level, deltas[l], {options.batch, size, 4}), &all_deltas);
    keep(CheckedArray<float>("anchors" + level, anchors[l], {size, 4}), &all_anchors);
  }
  Floats boxes(std::vector<py::ssize_t>{options.batch, post_nms_top_n, 4});
  Floats kept_logits(std::vector<py::ssize_t>{options.batch, post_nms_top_n});
  py::array_t<int32_t> count(std::vector<py::ssize_t>{options.batch});
  const float* sizes = image_sizes.data();
  float *to_boxes = boxes.mutable_data(), *to_logits = kept_logits.mutable_data();
  int32_t* to_count = count.mutable_data();
  {
    py::gil_scoped_release released;
    ProposalsCpu(options, all_logits, all_deltas, all_anchors, sizes, to_boxes, to_logits, to_count,
                 Threads());
  }
  return py::make_tuple(boxes, kept_logits, count);
}

}  // namespace

void RegisterProposals(py::module_& module) {
  module.def("proposals", Proposals, py::arg("logits"), py::arg("deltas"), py::arg("anchors"),
             py::arg("image_sizes"), py::arg("pre_nms_top_n"), py::arg("post_nms_top_n"),
             py::arg("nms_threshold"), py::arg("min_size") = 1e-3f,
             R"doc(From RPN outputs to proposals, as mrcnn_tf.ops.proposals does it.

Args:
    logits: float32 [B, N_l] for each level.
    deltas: float32 [B, N_l, 4] for each level.
    anchors: float32 [N_l, 4] for each level, as x1, y1, x2, y2 in pixels.
    image_sizes: float32 [B, 2], height and width in pixels.
    pre_nms_top_n: boxes of each level that take part.
    post_nms_top_n: boxes of each image that are kept.
    nms_threshold: 0..1; a box that overlaps a kept one of its level by more is dropped.
    min_size: smallest side of a box in pixels.

Returns:
    boxes float32 [B, post_nms_top_n, 4] inside the image, padded with 0; logits float32
    [B, post_nms_top_n], descending and padded with minus infinity; count int32 [B].)doc");
}

}  // namespace mrcnn
