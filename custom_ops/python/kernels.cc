// mrcnn_tf.kernels: the CPU kernels on NumPy arrays, without TensorFlow.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

namespace py = pybind11;

PYBIND11_MODULE(kernels, module) { module.doc() = "The compiled kernels on NumPy arrays."; }
