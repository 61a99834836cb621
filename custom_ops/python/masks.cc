// Masks in the Python module: pasting, run lengths, targets and polygons.
#include <algorithm>

#include "../kernels/mask_rle.h"
#include "../kernels/mask_targets.h"
#include "../kernels/paste_masks.h"
#include "../kernels/rasterize_polygons.h"
#include "module.h"

namespace py = pybind11;

namespace mrcnn {
namespace {

struct MasksInBoxes {
  py::array_t<float> masks, boxes;
  PasteMasksOptions options;
};

MasksInBoxes CheckedMasks(const py::object& masks_argument, const py::object& boxes_argument,
                          int64_t height, int64_t width, float threshold) {
  const auto masks = CheckedArray<float>("masks", masks_argument, {kAny, kAny, kAny});
  const auto boxes = CheckedArray<float>("boxes", boxes_argument, {masks.shape(0), 4});
  // Positions in an image are counted in 64 bits, and pixels are float32 coordinates.
  constexpr int64_t kLargest = int64_t{1} << 24;
  if (height < 0 || width < 0 || height > kLargest || width > kLargest) {
    throw py::value_error("height and width must be in 0 .. 2^24");
  }
  if (!(threshold > 0.0f)) throw py::value_error("threshold must be above 0");
  return {masks, boxes, {masks.shape(0), masks.shape(1), masks.shape(2), height, width, threshold}};
}

std::vector<std::string> MasksToRle(const py::object& masks, const py::object& boxes,
                                    int64_t height, int64_t width, float threshold) {
  const MasksInBoxes input = CheckedMasks(masks, boxes, height, width, threshold);
  std::vector<std::string> counts(input.options.num_masks);
  py::gil_scoped_release release;
  MaskRleCpu(input.options, input.masks.data(), input.boxes.data(), counts.data(), Threads());
  return counts;
}

py::array_t<uint8_t> PasteMasks(const py::object& masks, const py::object& boxes, int64_t height,
                                int64_t width, float threshold) {
  const MasksInBoxes input = CheckedMasks(masks, boxes, height, width, threshold);
  py::array_t<uint8_t> pixels(std::vector<py::ssize_t>{input.options.num_masks, height, width});
  uint8_t* to = pixels.mutable_data();
  {
    py::gil_scoped_release release;
    PasteMasksCpu(input.options, input.masks.data(), input.boxes.data(), to, Threads());
  }
  return pixels;
}

py::array_t<float> MaskTargets(const py::object& masks_argument, const py::object& shapes_argument,
                               const py::object& regions_argument, const py::object& rois_argument,
                               const py::object& matches_argument, int size,
                               const py::object& image_sizes_argument, int sampling_ratio,
                               bool binary, bool aligned) {
  const auto masks = CheckedArray<uint8_t>("masks", masks_argument, {kAny, kAny});
  const int64_t batch = masks.shape(0);
  const auto shapes = CheckedArray<int32_t>("mask_shapes", shapes_argument, {batch, kAny, 2});
  const auto regions =
      CheckedArray<float>("mask_boxes", regions_argument, {batch, shapes.shape(1), 4});
  const auto rois = CheckedArray<float>("rois", rois_argument, {batch, kAny, 4});
  const auto matches = CheckedArray<int32_t>("matches", matches_argument, {batch, rois.shape(1)});
  const bool at_borders = !image_sizes_argument.is_none();
  py::array_t<int32_t> image_sizes;
  if (at_borders) {
    image_sizes = CheckedArray<int32_t>("image_sizes", image_sizes_argument, {batch, 2});
  }
  if (size < 1) throw py::value_error("size must be positive, got " + std::to_string(size));
  if (sampling_ratio < 0) {
    throw py::value_error("sampling_ratio must be 0 or more, got " +
                          std::to_string(sampling_ratio));
  }
  const MaskTargetsOptions options{batch,         masks.shape(1), shapes.shape(1),
                                   rois.shape(1), size,           sampling_ratio,
                                   aligned,       at_borders,     binary};
  py::array_t<float> targets(std::vector<py::ssize_t>{batch, options.num_rois, size, size});
  const uint8_t* bits = masks.data();
  const int32_t *of_crops = shapes.data(), *objects = matches.data();
  const float *covered = regions.data(), *corners = rois.data();
  const int32_t* sizes = at_borders ? image_sizes.data() : nullptr;
  float* to = targets.mutable_data();
  std::string error;
  {
    py::gil_scoped_release release;
    error =
        MaskTargetsCpu(options, bits, of_crops, covered, corners, objects, sizes, to, Threads());
  }
  if (!error.empty()) throw py::value_error(error);
  return targets;
}

py::array_t<uint8_t> RasterizePolygons(const py::object& points_argument,
                                       const py::object& polygon_argument,
                                       const py::object& object_argument, int64_t height,
                                       int64_t width, const py::object& boxes_argument) {
  const auto points = CheckedArray<double>("points", points_argument, {kAny, 2});
  const auto polygon_splits = CheckedArray<int64_t>("polygon_splits", polygon_argument, {kAny});
  const auto object_splits = CheckedArray<int64_t>("object_splits", object_argument, {kAny});
  const auto check_splits = [](const std::string& name, const py::array_t<int64_t>& splits,
                               int64_t total) {
    const int64_t* first = splits.data();
    const int64_t* end = first + splits.size();
    if (splits.size() < 1 || *first != 0 || end[-1] != total || !std::is_sorted(first, end)) {
      throw py::value_error(name + " must rise from 0 to " + std::to_string(total));
    }
  };
  check_splits("polygon_splits", polygon_splits, points.shape(0));
  check_splits("object_splits", object_splits, polygon_splits.size() - 1);
  const int64_t num_objects = object_splits.size() - 1;
  py::array_t<float> boxes;
  if (!boxes_argument.is_none()) {
    boxes = CheckedArray<float>("boxes", boxes_argument, {num_objects, 4});
  }
  constexpr int64_t kLargest = int64_t{1} << 20;
  if (height < 0 || width < 0 || height > kLargest || width > kLargest) {
    throw py::value_error("height and width must be in 0 .. 2^20");
  }
  py::array_t<uint8_t> bitmaps(std::vector<py::ssize_t>{num_objects, height, width});
  const PolygonSet polygons{num_objects, object_splits.data(), polygon_splits.data(),
                            points.data()};
  const float* stretched = boxes_argument.is_none() ? nullptr : boxes.data();
  uint8_t* to = bitmaps.mutable_data();
  {
    py::gil_scoped_release release;
    RasterizePolygonsCpu(polygons, stretched, height, width, to, Threads());
  }
  return bitmaps;
}

}  // namespace

void RegisterMasks(py::module_& module) {
  module.def("masks_to_rle", &MasksToRle, py::arg("masks"), py::arg("boxes"), py::arg("height"),
             py::arg("width"), py::arg("threshold") = 0.5f,
             R"doc(The `counts` of each mask, pasted into its box, in COCO's compressed run lengths.

masks is [D, S, S] float32, boxes [D, 4] float32 in pixels. Returns a list of str.)doc");
  module.def(
      "paste_masks", &PasteMasks, py::arg("masks"), py::arg("boxes"), py::arg("height"),
      py::arg("width"), py::arg("threshold") = 0.5f,
      R"doc(Pastes masks into the boxes that they belong to, as mrcnn_tf.ops.paste_masks does.

masks is [D, S, S] float32, boxes [D, 4] float32 in pixels. Returns uint8 [D, height, width].)doc");
  module.def(
      "mask_targets", &MaskTargets, py::arg("masks"), py::arg("mask_shapes"), py::arg("mask_boxes"),
      py::arg("rois"), py::arg("matches"), py::arg("size"), py::arg("image_sizes") = py::none(),
      py::arg("sampling_ratio") = 2, py::arg("binary") = false, py::arg("aligned") = true,
      R"doc(Pools the part of an object's mask that lies in a RoI, as mrcnn_tf.ops.mask_targets does.

Args:
    masks: uint8 [B, L], bit-packed crops one after the other, each from a byte boundary.
    mask_shapes: int32 [B, M, 2], height and width of the crops.
    mask_boxes: float32 [B, M, 4], the regions in pixels that they cover.
    rois: float32 [B, P, 4].
    matches: int32 [B, P], the object of each RoI.
    size: side of a target in bins.
    image_sizes: int32 [B, 2]; with them a mask that reaches the border of its image goes on.
    sampling_ratio: samples per bin and axis, 0 is adaptive.
    binary: 1 where at least half of a bin is covered, else 0.
    aligned: whether to shift by half a pixel.

Returns:
    float32 [B, P, size, size].)doc");
  module.def("rasterize_polygons", &RasterizePolygons, py::arg("points"), py::arg("polygon_splits"),
             py::arg("object_splits"), py::arg("height"), py::arg("width"),
             py::arg("boxes") = py::none(),
             R"doc(Bitmaps of objects that are unions of polygons, as pycocotools draws them.

Args:
    points: float64 [P, 2] as x, y in pixels.
    polygon_splits: int64, the first point of each polygon, and P.
    object_splits: int64, the first polygon of each object, and the number of polygons.
    height: rows of a bitmap.
    width: columns of a bitmap.
    boxes: float32 [N, 4], the region of each object that its bitmap shows; None for the image.

Returns:
    uint8 [N, height, width] of 0 and 1.)doc");
}

}  // namespace mrcnn
