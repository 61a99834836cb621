// RoIAlign and matching for Python.
#include <cmath>

#include "../kernels/match_boxes.h"
#include "../kernels/roi_align.h"
#include "module.h"

namespace py = pybind11;

namespace mrcnn {
namespace {

using Floats = py::array_t<float>;

constexpr int64_t kLargestSide = 1 << 24;  // beyond it a float32 skips cells

std::pair<int, int> CheckedOutputSize(const py::object& output_size) {
  std::pair<int, int> size;
  try {
    size = py::isinstance<py::int_>(output_size)
               ? std::make_pair(output_size.cast<int>(), output_size.cast<int>())
               : output_size.cast<std::pair<int, int>>();
  } catch (const py::cast_error&) {
    throw py::type_error("output_size must be an int or a pair of ints");
  }
  if (size.first < 1 || size.second < 1) {
    throw py::value_error("output_size must be positive, got " + std::string(py::str(output_size)));
  }
  return size;
}

// The levels without their sizes. The areas are computed as mrcnn_tf.ops.roi_align computes them.
std::vector<RoiAlignLevel> MakeLevels(const std::vector<int64_t>& strides, double canonical_size,
                                      int canonical_level) {
  if (strides.empty()) throw py::value_error("strides must not be empty");
  std::vector<RoiAlignLevel> levels;
  for (size_t l = 0; l < strides.size(); ++l) {
    const int64_t stride = strides[l];
    const bool power_of_two = stride > 0 && (stride & (stride - 1)) == 0;
    if (stride <= 0 || (strides.size() > 1 && !power_of_two) ||
        (l > 0 && stride != 2 * strides[l - 1])) {
      throw py::value_error("strides must be powers of two that double from map to map");
    }
    const double side =
        canonical_size * std::exp2(std::log2(static_cast<double>(stride)) - canonical_level);
    levels.push_back({0, 0, static_cast<float>(1.0 / static_cast<double>(stride)),
                      l == 0 ? 0.0f : static_cast<float>(side * side)});
  }
  return levels;
}

void CheckOptions(const RoiAlignOptions& options, const std::string& maps) {
  if (options.sampling_ratio < 0) {
    throw py::value_error("sampling_ratio must be 0 or more, got " +
                          std::to_string(options.sampling_ratio));
  }
  for (const RoiAlignLevel& level : options.levels) {
    if (std::min(level.height, level.width) < 1 ||
        std::max(level.height, level.width) > kLargestSide) {
      throw py::value_error(maps + " must have sides of 1 to 2**24 cells");
    }
  }
}

// Feature maps, and all that is summed from them, are float32 unless they are float16.
bool IsHalf(const py::object& argument) { return py::isinstance<py::array_t<Float16>>(argument); }

template <class Element>
py::array RoiAlignOf(const std::vector<py::object>& pyramid, const py::object& boxes_argument,
                     const py::object& output_size, const std::vector<int64_t>& strides,
                     int sampling_ratio, bool aligned, double canonical_size, int canonical_level) {
  if (pyramid.size() != strides.size()) {
    throw py::value_error("strides must be one for each map of the pyramid");
  }
  const Floats boxes = CheckedArray<float>("boxes", boxes_argument, {kAny, kAny, 4});
  const auto [height, width] = CheckedOutputSize(output_size);
  RoiAlignOptions options{boxes.shape(0),
                          CheckedBoxes("boxes", boxes.shape(1)),
                          0,
                          height,
                          width,
                          sampling_ratio,
                          aligned,
                          MakeLevels(strides, canonical_size, canonical_level)};
  std::vector<py::array_t<Element>> maps;
  std::vector<const Element*> features;
  for (size_t l = 0; l < pyramid.size(); ++l) {
    const int64_t channels = l == 0 ? kAny : options.channels;
    maps.push_back(CheckedArray<Element>("pyramid[" + std::to_string(l) + "]", pyramid[l],
                                         {options.batch, kAny, kAny, channels}));
    features.push_back(maps[l].data());
    options.channels = maps[l].shape(3);
    options.levels[l].height = maps[l].shape(1);
    options.levels[l].width = maps[l].shape(2);
  }
  CheckOptions(options, "pyramid");
  py::array_t<Element> pooled(
      std::vector<py::ssize_t>{options.batch, options.num_boxes, height, width, options.channels});
  const float* from = boxes.data();
  Element* to = pooled.mutable_data();
  {
    py::gil_scoped_release released;
    RoiAlignCpu<Element>(options, features, from, to, Threads());
  }
  return pooled;
}

py::array RoiAlign(const std::vector<py::object>& pyramid, const py::object& boxes,
                   const py::object& output_size, const std::vector<int64_t>& strides,
                   int sampling_ratio, bool aligned, double canonical_size, int canonical_level) {
  const bool half = !pyramid.empty() && IsHalf(pyramid[0]);
  return (half ? RoiAlignOf<Float16> : RoiAlignOf<float>)(pyramid, boxes, output_size, strides,
                                                          sampling_ratio, aligned, canonical_size,
                                                          canonical_level);
}

template <class Element>
std::vector<py::array> RoiAlignGradOf(const py::object& gradient_argument,
                                      const py::object& boxes_argument,
                                      const std::vector<std::pair<int64_t, int64_t>>& pyramid_sizes,
                                      const std::vector<int64_t>& strides, int sampling_ratio,
                                      bool aligned, double canonical_size, int canonical_level) {
  if (pyramid_sizes.size() != strides.size()) {
    throw py::value_error("strides must be one for each of pyramid_sizes");
  }
  const Floats boxes = CheckedArray<float>("boxes", boxes_argument, {kAny, kAny, 4});
  const auto gradient = CheckedArray<Element>("gradient", gradient_argument,
                                              {boxes.shape(0), boxes.shape(1), kAny, kAny, kAny});
  if (std::max(gradient.shape(2), gradient.shape(3)) > kLargestSide) {
    throw py::value_error("gradient must have bins of 1 to 2**24 a side");
  }
  RoiAlignOptions options{boxes.shape(0),
                          CheckedBoxes("boxes", boxes.shape(1)),
                          gradient.shape(4),
                          static_cast<int>(gradient.shape(2)),
                          static_cast<int>(gradient.shape(3)),
                          sampling_ratio,
                          aligned,
                          MakeLevels(strides, canonical_size, canonical_level)};
  for (size_t l = 0; l < pyramid_sizes.size(); ++l) {
    options.levels[l].height = pyramid_sizes[l].first;
    options.levels[l].width = pyramid_sizes[l].second;
  }
  CheckOptions(options, "pyramid_sizes");
  std::vector<py::array> gradients;
  std::vector<Element*> to;
  for (const RoiAlignLevel& level : options.levels) {
    py::array_t<Element> map(
        std::vector<py::ssize_t>{options.batch, level.height, level.width, options.channels});
    to.push_back(map.mutable_data());
    gradients.push_back(std::move(map));
  }
  const Element* from = gradient.data();
  const float* corners = boxes.data();
  {
    py::gil_scoped_release released;
    RoiAlignGradCpu<Element>(options, from, corners, to, Threads());
  }
  return gradients;
}

std::vector<py::array> RoiAlignGrad(const py::object& gradient, const py::object& boxes,
                                    const std::vector<std::pair<int64_t, int64_t>>& pyramid_sizes,
                                    const std::vector<int64_t>& strides, int sampling_ratio,
                                    bool aligned, double canonical_size, int canonical_level) {
  return (IsHalf(gradient) ? RoiAlignGradOf<Float16>
                           : RoiAlignGradOf<float>)(gradient, boxes, pyramid_sizes, strides,
                                                    sampling_ratio, aligned, canonical_size,
                                                    canonical_level);
}

py::array_t<int32_t> MatchBoxes(const py::object& anchors_argument,
                                const py::object& boxes_argument, const py::object& valid_argument,
                                float high_threshold, float low_threshold, bool allow_low_quality) {
  const Floats boxes = CheckedArray<float>("boxes", boxes_argument, {kAny, kAny, 4});
  const int64_t batch = boxes.shape(0), num_boxes = CheckedBoxes("boxes", boxes.shape(1));
  const auto valid = CheckedArray<bool>("valid", valid_argument, {batch, num_boxes});
  const bool shared = py::isinstance<py::array>(anchors_argument) &&
                      py::reinterpret_borrow<py::array>(anchors_argument).ndim() == 2;
  const Floats anchors = shared
                             ? CheckedArray<float>("anchors", anchors_argument, {kAny, 4})
                             : CheckedArray<float>("anchors", anchors_argument, {batch, kAny, 4});
  const int64_t num_anchors = anchors.shape(shared ? 0 : 1);
  if (!(low_threshold <= high_threshold)) {
    throw py::value_error("low_threshold must be at most high_threshold");
  }
  const MatchBoxesOptions options{batch,          num_anchors,   num_boxes,        shared,
                                  high_threshold, low_threshold, allow_low_quality};
  py::array_t<int32_t> matches(std::vector<py::ssize_t>{batch, num_anchors});
  const float *from = anchors.data(), *truths = boxes.data();
  const bool* usable = valid.data();
  int32_t* to = matches.mutable_data();
  {
    py::gil_scoped_release released;
    MatchBoxesCpu(options, from, truths, usable, to, Threads());
  }
  return matches;
}

}  // namespace

void RegisterDetection(py::module_& module) {
  module.def("roi_align", RoiAlign, py::arg("pyramid"), py::arg("boxes"), py::arg("output_size"),
             py::arg("strides"), py::arg("sampling_ratio") = 2, py::arg("aligned") = true,
             py::arg("canonical_size") = 224.0, py::arg("canonical_level") = 4,
             R"doc(Pools a fixed grid of features from every box, as mrcnn_tf.ops.roi_align does.

Args:
    pyramid: list of float32 or float16 maps [B, H_l, W_l, C], finest first.
    boxes: float32 [B, N, 4] as x1, y1, x2, y2 in pixels.
    output_size: height and width of the grid; one number for both.
    strides: pixels between neighbouring cells, one for each map, doubling.
    sampling_ratio: sampling points along each side of a bin; 0 for one a cell, rounded up.
    aligned: whether to shift by half a cell.
    canonical_size: side in pixels of a box that is pooled from canonical_level.
    canonical_level: base-2 logarithm of that level's stride.

Returns:
    [B, N, height, width, C] in the dtype of the maps; sums are float32.)doc");
  module.def("roi_align_grad", RoiAlignGrad, py::arg("gradient"), py::arg("boxes"),
             py::arg("pyramid_sizes"), py::arg("strides"), py::arg("sampling_ratio") = 2,
             py::arg("aligned") = true, py::arg("canonical_size") = 224.0,
             py::arg("canonical_level") = 4,
             R"doc(The gradient of roi_align with respect to the pyramid.

Args:
    gradient: float32 or float16 [B, N, height, width, C], of what roi_align returned.
    boxes: float32 [B, N, 4].
    pyramid_sizes: (H_l, W_l) of each map.

The other arguments are those of roi_align.

Returns:
    list of [B, H_l, W_l, C] in the dtype of gradient, the same whatever the number of threads.)doc");
  module.def(
      "match_boxes", MatchBoxes, py::arg("anchors"), py::arg("boxes"), py::arg("valid"),
      py::arg("high_threshold"), py::arg("low_threshold"), py::arg("allow_low_quality"),
      R"doc(Gives each anchor the box that it overlaps most, as mrcnn_tf.ops.match_boxes does.

Args:
    anchors: float32 [A, 4] shared by all images, or [B, A, 4], in pixels.
    boxes: float32 [B, M, 4].
    valid: bool [B, M], False for boxes that nothing may match.
    high_threshold: IoU from which an anchor is foreground.
    low_threshold: IoU below which it is background; at most high_threshold.
    allow_low_quality: whether every box keeps the anchors that overlap it most.

Returns:
    int32 [B, A]: the index of a box, -1 for background or -2 for anchors to ignore.)doc");
}

}  // namespace mrcnn
