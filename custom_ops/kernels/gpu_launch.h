// How .cu files launch their kernels: on the GPU or, with MRCNN_EMULATED, on the CPU. They include
// no header of CUDA's by themselves.
#ifndef MRCNN_KERNELS_GPU_LAUNCH_H_
#define MRCNN_KERNELS_GPU_LAUNCH_H_

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>

#include "gpu.h"
#include "host_device.h"

#ifdef MRCNN_EMULATED
#include "../emulation/cuda.h"
#else
#include <cuda_runtime.h>
#endif

namespace mrcnn {

// Threads of a block that synchronises. Emulated threads are dear: each is one of the CPU's.
#ifdef MRCNN_EMULATED
constexpr int kBlockThreads = 32;
constexpr int kWideBlockThreads = 64;
#else
constexpr int kBlockThreads = 256;
constexpr int kWideBlockThreads = 1024;
#endif

// A kernel for LaunchElementwise does not synchronise, and goes over its items by
//   for (int64_t i = FirstItem(); i < total; i += ItemStride())
__device__ inline int64_t FirstItem() {
  return static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline int64_t ItemStride() { return static_cast<int64_t>(gridDim.x) * blockDim.x; }

constexpr int64_t kMaxBlocks = 0x7fffffff;  // of a grid's first dimension

inline GpuStatus TooManyBlocks(const char* name, int64_t num_blocks) {
  return std::string("The GPU kernel ") + name + " needs " + std::to_string(num_blocks) +
         " blocks and a GPU has at most " + std::to_string(kMaxBlocks) +
         ": use a smaller batch or fewer boxes";
}

#ifdef MRCNN_EMULATED

template <class... P, class... A>
GpuStatus LaunchElementwise(const char*, void (*kernel)(P...), int64_t total, GpuStream,
                            A... args) {
  if (total > 0) emulation::RunElementwise([&] { kernel(args...); });
  return {};
}

template <int kThreads, class... P, class... A>
GpuStatus LaunchBlocks(const char* name, void (*kernel)(P...), int64_t num_blocks, GpuStream,
                       A... args) {
  if (num_blocks > kMaxBlocks) return TooManyBlocks(name, num_blocks);
  if (num_blocks > 0) emulation::RunBlocks(kThreads, num_blocks, [&] { kernel(args...); });
  return {};
}

inline GpuStatus FillZeros(void* device, size_t bytes, GpuStream) {
  if (bytes > 0) std::memset(device, 0, bytes);
  return {};
}

#else

inline std::string CudaVersion(int version) {
  return std::to_string(version / 1000) + "." + std::to_string(version % 1000 / 10);
}

// Empty for cudaSuccess, else a message that says what to do about it.
inline GpuStatus LaunchStatus(const char* name, cudaError_t error) {
  if (error == cudaSuccess) return {};
  int driver = 0, toolkit = 0;
  cudaDriverGetVersion(&driver);
  cudaRuntimeGetVersion(&toolkit);
  std::string message = std::string("The GPU kernel ") + name +
                        " failed: " + cudaGetErrorString(error) + " (driver " +
                        (driver == 0 ? "missing" : "for CUDA " + CudaVersion(driver)) +
                        ", built by CUDA " + CudaVersion(toolkit) + ")";
  if (driver == 0) {
    message += ": install a driver of NVIDIA's";
  } else if (driver / 1000 < toolkit / 1000) {
    message +=
        ": the driver is older than the toolkit; update the driver, or rebuild the ops by CUDA " +
        CudaVersion(driver) + " or older";
  } else if (error == cudaErrorNoKernelImageForDevice) {
    message +=
        ": the ops are not built for this GPU's architecture; rebuild them by a toolkit that knows "
        "it";
  }
  return message;
}

template <class... P, class... A>
GpuStatus Launch(const char* name, void (*kernel)(P...), int64_t num_blocks, int num_threads,
                 GpuStream stream, A... args) {
  cudaLaunchConfig_t config = {};
  config.gridDim = dim3(static_cast<unsigned>(num_blocks));
  config.blockDim = dim3(num_threads);
  config.stream = static_cast<cudaStream_t>(stream);
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<P>(args)...);
  cudaGetLastError();  // or the next launch would report this one's error again
  return LaunchStatus(name, error);
}

template <class... P, class... A>
GpuStatus LaunchElementwise(const char* name, void (*kernel)(P...), int64_t total, GpuStream stream,
                            A... args) {
  if (total <= 0) return {};
  constexpr int kThreads = 256;
  constexpr int64_t kEnoughBlocks = 1 << 20;
  const int64_t num_blocks = std::min((total + kThreads - 1) / kThreads, kEnoughBlocks);
  return Launch(name, kernel, num_blocks, kThreads, stream, args...);
}

// Blocks of kThreads threads that may use __syncthreads() and __shared__.
template <int kThreads, class... P, class... A>
GpuStatus LaunchBlocks(const char* name, void (*kernel)(P...), int64_t num_blocks, GpuStream stream,
                       A... args) {
  if (num_blocks <= 0) return {};
  if (num_blocks > kMaxBlocks) return TooManyBlocks(name, num_blocks);
  return Launch(name, kernel, num_blocks, kThreads, stream, args...);
}

inline GpuStatus FillZeros(void* device, size_t bytes, GpuStream stream) {
  if (bytes == 0) return {};
  return LaunchStatus("FillZeros",
                      cudaMemsetAsync(device, 0, bytes, static_cast<cudaStream_t>(stream)));
}

#endif  // MRCNN_EMULATED

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_GPU_LAUNCH_H_
