// What the parts of the Python module `kernels` share: checked arrays and threads.
#ifndef MRCNN_PYTHON_MODULE_H_
#define MRCNN_PYTHON_MODULE_H_

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <initializer_list>
#include <string>
#include <vector>

#include "../kernels/narrow_float.h"
#include "../kernels/threads.h"

// numpy.float16, for which pybind11 has no C++ type.
template <>
struct pybind11::detail::npy_format_descriptor<mrcnn::Float16> {
  static constexpr auto name = const_name("numpy.float16");
  static pybind11::dtype dtype() { return pybind11::dtype("e"); }
};

namespace mrcnn {

void RegisterDetection(pybind11::module_& module);
void RegisterMasks(pybind11::module_& module);
void RegisterNms(pybind11::module_& module);
void RegisterProposals(pybind11::module_& module);

constexpr int64_t kAny = -1;

// The array behind an argument, as it lies in memory. An array that would have to be copied or
// converted is refused: a silent copy of a feature map costs more than pooling from it.
template <class T>
pybind11::array_t<T> CheckedArray(const std::string& name, const pybind11::object& argument,
                                  std::initializer_list<int64_t> shape) {
  namespace py = pybind11;
  const std::string wanted = py::str(py::dtype::of<T>());
  if (!py::isinstance<py::array>(argument)) {
    throw py::type_error(name + " must be a NumPy array of " + wanted);
  }
  const auto array = py::reinterpret_borrow<py::array>(argument);
  if (!py::isinstance<py::array_t<T>>(argument)) {
    throw py::type_error(name + " must be of dtype " + wanted + ", got " +
                         std::string(py::str(array.dtype())));
  }
  bool fits = array.ndim() == static_cast<py::ssize_t>(shape.size());
  std::string text;
  int axis = 0;
  for (int64_t size : shape) {
    fits = fits && (size == kAny || array.shape(axis) == size);
    text += (axis++ > 0 ? ", " : "") + (size == kAny ? "?" : std::to_string(size));
  }
  if (!fits) {
    throw py::value_error(name + " must have the shape [" + text + "], got " +
                          std::string(py::str(py::tuple(argument.attr("shape")))));
  }
  const int needed = py::array::c_style | py::detail::npy_api::NPY_ARRAY_ALIGNED_;
  if ((array.flags() & needed) != needed) {
    throw py::value_error(name + " must be contiguous: see numpy.ascontiguousarray");
  }
  return py::reinterpret_borrow<py::array_t<T>>(argument);
}

// The number of rows of an argument that results index by int32.
inline int64_t CheckedBoxes(const std::string& name, int64_t count) {
  if (count > INT32_MAX) {
    throw pybind11::value_error(name + " has more rows than an int32 can index");
  }
  return count;
}

}  // namespace mrcnn

#endif  // MRCNN_PYTHON_MODULE_H_
