// Masks in the Python module: run lengths.
#include "../kernels/mask_rle.h"
#include "module.h"

namespace py = pybind11;

namespace mrcnn {
namespace {

std::vector<std::string> MasksToRle(const py::object& masks_argument,
                                    const py::object& boxes_argument, int64_t height, int64_t width,
                                    float threshold) {
  const auto masks = CheckedArray<float>("masks", masks_argument, {kAny, kAny, kAny});
  const auto boxes = CheckedArray<float>("boxes", boxes_argument, {masks.shape(0), 4});
  // Positions in an image are counted in 64 bits, and pixels are float32 coordinates.
  constexpr int64_t kLargest = int64_t{1} << 24;
  if (height < 0 || width < 0 || height > kLargest || width > kLargest) {
    throw py::value_error("height and width must be in 0 .. 2^24");
  }
  if (!(threshold > 0.0f)) {
    throw py::value_error("threshold must be above 0");
  }
  const PasteMasksOptions options{masks.shape(0), masks.shape(1), masks.shape(2),
                                  height,         width,          threshold};
  std::vector<std::string> counts(options.num_masks);
  py::gil_scoped_release release;
  MaskRleCpu(options, masks.data(), boxes.data(), counts.data(), Threads());
  return counts;
}

}  // namespace

void RegisterMasks(py::module_& module) {
  module.def("masks_to_rle", &MasksToRle, py::arg("masks"), py::arg("boxes"), py::arg("height"),
             py::arg("width"), py::arg("threshold") = 0.5f,
             R"doc(The `counts` of each mask, pasted into its box, in COCO's compressed run lengths.

masks is [D, S, S] float32, boxes [D, 4] float32 in pixels. Returns a list of str.)doc");
}

}  // namespace mrcnn
