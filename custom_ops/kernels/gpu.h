// How kernels for the GPU are declared, without a header of CUDA's.
#ifndef MRCNN_KERNELS_GPU_H_
#define MRCNN_KERNELS_GPU_H_

#include <string>

namespace mrcnn {

// A cudaStream_t. Functions that end in Gpu only queue work on it: they never wait for the device,
// and their pointers are to device memory. They return an error message, empty if all went well.
using GpuStream = void*;
using GpuStatus = std::string;

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_GPU_H_
