// As much of CUDA as the kernels use, on the CPU, so that tests execute the very same source under
// the sanitizers on machines that have no GPU. Included by gpu_launch.h only.
#ifndef MRCNN_EMULATION_CUDA_H_
#define MRCNN_EMULATION_CUDA_H_

#include <condition_variable>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

#define __global__
#define __device__
#define __host__
#define __forceinline__ inline
#define __launch_bounds__(...)
// One copy for all blocks: they run one after the other.
#define __shared__ static

namespace mrcnn {
namespace emulation {

struct Index {
  unsigned x = 0, y = 0, z = 0;
};

struct Extent {
  unsigned x = 1, y = 1, z = 1;
};

// Where the threads of a block wait for each other.
class Barrier {
 public:
  explicit Barrier(int num_threads) : num_threads_(num_threads) {}

  // `leaving` is true at the end of the kernel. On a GPU it is undefined what happens when some
  // threads leave while others synchronise, so it must not go unnoticed here.
  void Wait(bool leaving) {
    std::unique_lock<std::mutex> lock(mutex_);
    num_leaving_ += leaving;
    if (++num_waiting_ == num_threads_) {
      if (num_leaving_ != 0 && num_leaving_ != num_threads_) {
        std::fprintf(stderr, "%d of %d threads left a kernel while the others synchronise\n",
                     num_leaving_, num_threads_);
        std::abort();
      }
      num_waiting_ = num_leaving_ = 0;
      ++generation_;
      all_here_.notify_all();
      return;
    }
    const int64_t generation = generation_;
    while (generation == generation_) all_here_.wait(lock);
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  const int num_threads_;
  int num_waiting_ = 0;
  int num_leaving_ = 0;
  int64_t generation_ = 0;
};

inline thread_local Barrier* block_barrier = nullptr;

}  // namespace emulation
}  // namespace mrcnn

inline thread_local mrcnn::emulation::Index threadIdx, blockIdx;
inline thread_local mrcnn::emulation::Extent blockDim, gridDim;

inline void __syncthreads() {
  if (mrcnn::emulation::block_barrier == nullptr) {
    std::fprintf(stderr, "a kernel launched by LaunchElementwise synchronises\n");
    std::abort();
  }
  mrcnn::emulation::block_barrier->Wait(false);
}

inline int __popc(unsigned bits) { return __builtin_popcount(bits); }

namespace mrcnn {
namespace emulation {

// Few threads, so that each goes round its grid-stride loop more than once. ThreadSanitizer gets
// the blocks at once, or it could not see that a kernel lacks an atomic.
template <class Kernel>
void RunElementwise(const Kernel& kernel) {
  constexpr unsigned kThreads = 4, kBlocks = 3;
  const auto run_block = [&](unsigned block) {
    blockDim.x = kThreads;
    gridDim.x = kBlocks;
    blockIdx.x = block;
    for (threadIdx.x = 0; threadIdx.x < kThreads; ++threadIdx.x) kernel();
  };
#ifdef MRCNN_SANITIZE_THREAD
  std::vector<std::thread> blocks;
  for (unsigned block = 0; block < kBlocks; ++block) blocks.emplace_back(run_block, block);
  for (std::thread& block : blocks) block.join();
#else
  for (unsigned block = 0; block < kBlocks; ++block) run_block(block);
#endif
}

// Two ops that run at once would share their __shared__ memory.
inline std::mutex one_launch;

// A thread for every thread of a block; blocks go one after the other.
template <class Kernel>
void RunBlocks(int num_threads, int64_t num_blocks, const Kernel& kernel) {
  std::lock_guard<std::mutex> lock(one_launch);
  Barrier barrier(num_threads);
  std::vector<std::thread> threads;
  for (int thread = 0; thread < num_threads; ++thread) {
    threads.emplace_back([&, thread] {
      block_barrier = &barrier;
      threadIdx.x = thread;
      blockDim.x = num_threads;
      gridDim.x = static_cast<unsigned>(num_blocks);
      for (int64_t block = 0; block < num_blocks; ++block) {
        blockIdx.x = static_cast<unsigned>(block);
        kernel();
        barrier.Wait(true);
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

// Relaxed, as CUDA's are: whoever needs an order has to synchronise.
template <class T, class Change>
T Update(T* address, const Change& change) {
  T before;
  __atomic_load(address, &before, __ATOMIC_RELAXED);
  T after = change(before);
  while (!__atomic_compare_exchange(address, &before, &after, false, __ATOMIC_RELAXED,
                                    __ATOMIC_RELAXED)) {
    after = change(before);
  }
  return before;
}

template <class T>
struct Identity {
  using Type = T;
};
// A parameter from which T is not deduced, so that atomicAdd(&count, 1) works for any count.
template <class T>
using Value = typename Identity<T>::Type;

}  // namespace emulation
}  // namespace mrcnn

template <class T>
T atomicAdd(T* address, mrcnn::emulation::Value<T> value) {
  return mrcnn::emulation::Update(address, [=](T before) { return before + value; });
}

template <class T>
T atomicMax(T* address, mrcnn::emulation::Value<T> value) {
  return mrcnn::emulation::Update(address,
                                  [=](T before) { return before > value ? before : value; });
}

template <class T>
T atomicMin(T* address, mrcnn::emulation::Value<T> value) {
  return mrcnn::emulation::Update(address,
                                  [=](T before) { return before < value ? before : value; });
}

template <class T>
T atomicOr(T* address, mrcnn::emulation::Value<T> value) {
  return mrcnn::emulation::Update(address, [=](T before) { return before | value; });
}

template <class T>
T atomicExch(T* address, mrcnn::emulation::Value<T> value) {
  return mrcnn::emulation::Update(address, [=](T) { return value; });
}

template <class T>
T atomicCAS(T* address, mrcnn::emulation::Value<T> expected, mrcnn::emulation::Value<T> value) {
  return mrcnn::emulation::Update(address,
                                  [=](T before) { return before == expected ? value : before; });
}

#endif  // MRCNN_EMULATION_CUDA_H_
