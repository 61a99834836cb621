// mrcnn_tf.kernels: the CPU kernels on NumPy arrays, without TensorFlow.
#include "module.h"

PYBIND11_MODULE(kernels, module) {
  module.doc() =
      "The compiled kernels on NumPy arrays, without TensorFlow. Arrays are read in place, so they "
      "must be contiguous and of the dtype named. Other Python threads run meanwhile.";
  mrcnn::RegisterDetection(module);
  mrcnn::RegisterMasks(module);
  mrcnn::RegisterNms(module);
  mrcnn::RegisterProposals(module);
}
