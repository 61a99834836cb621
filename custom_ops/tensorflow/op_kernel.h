// What every op needs from TensorFlow.
#ifndef MRCNN_TENSORFLOW_OP_KERNEL_H_
#define MRCNN_TENSORFLOW_OP_KERNEL_H_

#include "../kernels/gpu.h"
#include "../kernels/parallel_for.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

// Each op file is compiled into the library of the package, with kernels for the CPU and, if
// MRCNN_CUDA is defined, the GPU. It is compiled a second time, with MRCNN_EMULATED, into a library
// for tests: there the GPU kernels run on the CPU, over emulated launchers and under names of their
// own.
#if defined(MRCNN_EMULATED)
#define MRCNN_OP_NAME(name) name "Emulated"
#define MRCNN_REGISTER_CPU(builder, ...)
#define MRCNN_REGISTER_GPU(builder, ...) \
  REGISTER_KERNEL_BUILDER(builder.Device(tensorflow::DEVICE_CPU), __VA_ARGS__)
#else
#define MRCNN_OP_NAME(name) name
#define MRCNN_REGISTER_CPU(builder, ...) \
  REGISTER_KERNEL_BUILDER(builder.Device(tensorflow::DEVICE_CPU), __VA_ARGS__)
#define MRCNN_REGISTER_GPU(builder, ...) \
  REGISTER_KERNEL_BUILDER(builder.Device(tensorflow::DEVICE_GPU), __VA_ARGS__)
#endif

#if defined(MRCNN_EMULATED) || defined(MRCNN_CUDA)
#define MRCNN_HAS_GPU 1
#else
#define MRCNN_HAS_GPU 0
#endif

#if defined(MRCNN_CUDA)
#include "xla/stream_executor/stream.h"
#endif

namespace mrcnn {

using tensorflow::OpInputList;
using tensorflow::OpKernel;
using tensorflow::OpKernelConstruction;
using tensorflow::OpKernelContext;
using tensorflow::OpOutputList;
using tensorflow::Tensor;
using tensorflow::TensorShape;
using tensorflow::shape_inference::DimensionHandle;
using tensorflow::shape_inference::InferenceContext;
using tensorflow::shape_inference::ShapeHandle;

// Spreads work over the thread pool of the device that runs the op.
inline ParallelFor DeviceParallelFor(OpKernelContext* context) {
  const auto* threads = context->device()->tensorflow_cpu_worker_threads();
  return {[threads](int64_t total, int64_t cycles_per_unit,
                    const std::function<void(int64_t, int64_t)>& work) {
            tensorflow::Shard(threads->num_threads, threads->workers, total, cycles_per_unit, work);
          },
          threads->num_threads};
}

#if MRCNN_HAS_GPU
// The stream that the op's inputs are ready on.
inline GpuStream DeviceStream(OpKernelContext* context) {
#if defined(MRCNN_CUDA)
  return context->op_device_context()->stream()->platform_specific_handle().stream;
#else
  return nullptr;
#endif
}

// Device memory for the duration of the op.
inline absl::Status AllocateWorkspace(OpKernelContext* context, size_t bytes, Tensor* tensor,
                                      void** workspace) {
  const int64_t size = static_cast<int64_t>(bytes);
  TF_RETURN_IF_ERROR(context->allocate_temp(tensorflow::DT_UINT8, {size}, tensor));
  *workspace = tensor->flat<uint8_t>().data();
  return absl::OkStatus();
}

inline absl::Status ToStatus(const GpuStatus& error) {
  return error.empty() ? absl::OkStatus() : absl::InternalError(error);
}
#endif  // MRCNN_HAS_GPU

}  // namespace mrcnn

#endif  // MRCNN_TENSORFLOW_OP_KERNEL_H_
