#ifndef MRCNN_KERNELS_PARALLEL_FOR_H_
#define MRCNN_KERNELS_PARALLEL_FOR_H_

#include <cstdint>
#include <functional>

namespace mrcnn {

// How a kernel spreads work over threads: supplied by the caller, who owns the threads.
struct ParallelFor {
  // Calls work(begin, end) on disjoint ranges that cover [0, total). cycles_per_unit is a rough
  // cost, so that little work stays on one thread.
  std::function<void(int64_t total, int64_t cycles_per_unit,
                     const std::function<void(int64_t begin, int64_t end)>& work)>
      run;
  int num_threads = 1;
};

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_PARALLEL_FOR_H_
