// Threads of the standard library, for callers that have none of their own.
#ifndef MRCNN_KERNELS_THREADS_H_
#define MRCNN_KERNELS_THREADS_H_

#include <algorithm>
#include <atomic>
#include <cstdint>
#include <exception>
#include <functional>
#include <system_error>
#include <thread>
#include <vector>

#include "parallel_for.h"

namespace mrcnn {

// At most so many threads, or one for each core, and none for work that is done sooner than a
// thread starts.
inline ParallelFor Threads(int limit = 0) {
  constexpr int64_t kCyclesOfAThread = 200000;
  ParallelFor parallel_for;
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  parallel_for.num_threads = limit > 0 ? limit : cores;
  const int64_t most = parallel_for.num_threads;
  parallel_for.run = [most](int64_t total, int64_t cycles_per_unit,
                            const std::function<void(int64_t, int64_t)>& work) {
    if (total <= 0) return;
    const int64_t per_thread = kCyclesOfAThread / std::max<int64_t>(cycles_per_unit, 1) + 1;
    const int64_t threads = std::min(most, (total + per_thread - 1) / per_thread);
    // More pieces than threads: boxes and rows differ in cost.
    const int64_t pieces = threads == 1 ? 1 : std::min(total, 4 * threads);
    std::atomic<int64_t> next{0};
    std::vector<std::exception_ptr> failures(threads);
    const auto take_pieces = [&](int64_t thread) {
      try {
        for (int64_t i = next++; i < pieces; i = next++) {
          // Not total * i / pieces, which may overflow.
          const int64_t size = total / pieces, longer = total % pieces;
          const int64_t begin = i * size + std::min(i, longer);
          work(begin, begin + size + (i < longer ? 1 : 0));
        }
      } catch (...) {
        failures[thread] = std::current_exception();
      }
    };
    std::vector<std::thread> pool;
    try {
      for (int64_t i = 1; i < threads; ++i) pool.emplace_back(take_pieces, i);
    } catch (const std::system_error&) {
      // Out of threads: those there are take all pieces.
    }
    take_pieces(0);
    for (std::thread& thread : pool) thread.join();
    for (const std::exception_ptr& failure : failures) {
      if (failure) std::rethrow_exception(failure);
    }
  };
  return parallel_for;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_THREADS_H_
