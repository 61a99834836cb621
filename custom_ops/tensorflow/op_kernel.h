// What every op needs from TensorFlow.
#ifndef MRCNN_TENSORFLOW_OP_KERNEL_H_
#define MRCNN_TENSORFLOW_OP_KERNEL_H_

#include "../kernels/parallel_for.h"
#include "tensorflow/core/framework/op.h"
#include "tensorflow/core/framework/op_kernel.h"
#include "tensorflow/core/framework/shape_inference.h"
#include "tensorflow/core/util/work_sharder.h"

namespace mrcnn {

// Spreads work over the thread pool of the device that runs the op.
inline ParallelFor DeviceParallelFor(tensorflow::OpKernelContext* context) {
  const auto* threads = context->device()->tensorflow_cpu_worker_threads();
  return {[threads](int64_t total, int64_t cycles_per_unit,
                    const std::function<void(int64_t, int64_t)>& work) {
            tensorflow::Shard(threads->num_threads, threads->workers, total, cycles_per_unit, work);
          },
          threads->num_threads};
}

}  // namespace mrcnn

#endif  // MRCNN_TENSORFLOW_OP_KERNEL_H_
