// NMS and Soft-NMS for Python.
#include "../kernels/nms.h"

#include "module.h"

namespace py = pybind11;

namespace mrcnn {
namespace {

struct NmsResult {
  py::array_t<int32_t> indices;
  py::array_t<float> scores;
  py::array_t<int32_t> count;
};

// `options` without the sizes.
NmsResult Run(NmsOptions options, const py::object& boxes_argument,
              const py::object& scores_argument, const py::object& classes_argument) {
  const auto boxes = CheckedArray<float>("boxes", boxes_argument, {kAny, kAny, 4});
  options.batch = boxes.shape(0);
  options.num_boxes = CheckedBoxes("boxes", boxes.shape(1));
  const auto scores =
      CheckedArray<float>("scores", scores_argument, {options.batch, options.num_boxes});
  const auto classes =
      CheckedArray<int32_t>("classes", classes_argument, {options.batch, options.num_boxes});
  if (!(options.iou_threshold >= 0.0f && options.iou_threshold <= 1.0f)) {
    throw py::value_error("iou_threshold must be in 0..1, got " +
                          std::to_string(options.iou_threshold));
  }
  if (options.score_threshold != options.score_threshold) {
    throw py::value_error("score_threshold must not be NaN");
  }
  if (options.max_output < 1 || options.max_output > INT32_MAX) {
    throw py::value_error("max_output must be positive, got " + std::to_string(options.max_output));
  }
  if (options.pre_nms_top_n < 0) {
    throw py::value_error("pre_nms_top_n must be 0, for all boxes, or more, got " +
                          std::to_string(options.pre_nms_top_n));
  }
  const std::vector<py::ssize_t> rows{options.batch, options.max_output};
  NmsResult result{py::array_t<int32_t>(rows), py::array_t<float>(rows),
                   py::array_t<int32_t>(std::vector<py::ssize_t>{options.batch})};
  const float *corners = boxes.data(), *values = scores.data();
  const int32_t* ids = classes.data();
  int32_t *indices = result.indices.mutable_data(), *count = result.count.mutable_data();
  float* kept_scores = result.scores.mutable_data();
  {
    py::gil_scoped_release released;
    NmsCpu(options, corners, values, ids, indices, kept_scores, count, Threads());
  }
  return result;
}

py::tuple Nms(const py::object& boxes, const py::object& scores, const py::object& classes,
              float iou_threshold, float score_threshold, int64_t max_output,
              int64_t pre_nms_top_n) {
  const NmsResult result = Run({0, 0, max_output, pre_nms_top_n, iou_threshold, score_threshold,
                                NmsMode::kHard, /*sigma=*/1.0f},
                               boxes, scores, classes);
  return py::make_tuple(result.indices, result.count);
}

py::tuple SoftNms(const py::object& boxes, const py::object& scores, const py::object& classes,
                  const std::string& method, float sigma, float iou_threshold,
                  float score_threshold, int64_t max_output, int64_t pre_nms_top_n) {
  if (method != "linear" && method != "gaussian") {
    throw py::value_error("method must be 'linear' or 'gaussian', got '" + method + "'");
  }
  if (!(sigma > 0.0f)) {
    throw py::value_error("sigma must be above 0, got " + std::to_string(sigma));
  }
  if (!(score_threshold >= 0.0f)) {
    throw py::value_error(
        "score_threshold must be at least 0, since a negative score would rise as it decays, got " +
        std::to_string(score_threshold));
  }
  const NmsMode mode = method == "linear" ? NmsMode::kLinear : NmsMode::kGaussian;
  const NmsResult result =
      Run({0, 0, max_output, pre_nms_top_n, iou_threshold, score_threshold, mode, sigma}, boxes,
          scores, classes);
  return py::make_tuple(result.indices, result.scores, result.count);
}

}  // namespace

void RegisterNms(py::module_& module) {
  module.def("nms", Nms, py::arg("boxes"), py::arg("scores"), py::arg("classes"),
             py::arg("iou_threshold"), py::arg("score_threshold"), py::arg("max_output"),
             py::arg("pre_nms_top_n") = 0,
             R"doc(Non-maximum suppression class by class, as mrcnn_tf.ops.nms does it.

Args:
    boxes: float32 [B, N, 4] as x1, y1, x2, y2 in pixels.
    scores: float32 [B, N].
    classes: int32 [B, N].
    iou_threshold: 0..1; a box that overlaps a kept one of its class by more is dropped.
    score_threshold: only boxes above it are kept.
    max_output: number of results for each image.
    pre_nms_top_n: only the so many best boxes of an image take part; 0 means all.

Returns:
    indices int32 [B, max_output] by descending score, padded with 0, and count int32 [B].)doc");
  module.def("soft_nms", SoftNms, py::arg("boxes"), py::arg("scores"), py::arg("classes"),
             py::arg("method") = "gaussian", py::arg("sigma") = 0.5f,
             py::arg("iou_threshold") = 0.5f, py::arg("score_threshold") = 0.001f,
             py::arg("max_output") = 100, py::arg("pre_nms_top_n") = 0,
             R"doc(Soft-NMS class by class, as mrcnn_tf.ops.soft_nms does it.

Args:
    boxes: float32 [B, N, 4] as x1, y1, x2, y2 in pixels.
    scores: float32 [B, N].
    classes: int32 [B, N].
    method: "linear" multiplies the scores of boxes that overlap a kept one of their class by
        1 - IoU, "gaussian" by exp(-IoU^2 / sigma).
    sigma: of "gaussian", above 0.
    iou_threshold: 0..1; "linear" leaves a box alone up to this IoU.
    score_threshold: a box is kept only while its score is above; at least 0.
    max_output: number of results for each image.
    pre_nms_top_n: only the so many best boxes of an image take part; 0 means all.

Returns:
    indices int32 [B, max_output] and the lowered scores float32 [B, max_output], both by
    descending score and padded with 0, and count int32 [B].)doc");
}

}  // namespace mrcnn
