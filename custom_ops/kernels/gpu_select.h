// The best candidates of many, by the threads of one block: what the GPU has in the place of a
// sort of all of them. For .cu files.
#ifndef MRCNN_KERNELS_GPU_SELECT_H_
#define MRCNN_KERNELS_GPU_SELECT_H_

#include "box_math.h"
#include "gpu_launch.h"

namespace mrcnn {

// Candidates are known by their SortKey, which no two of them share; this one is nobody's.
constexpr uint64_t kNoKey = ~uint64_t{0};

// As many keys as two threads sort in one step each.
constexpr int kChunk = 2 * kWideBlockThreads;
constexpr int kDigitBits = 8;
constexpr int kDigits = 1 << kDigitBits;

// In the __shared__ memory of a block.
struct SelectMemory {
  uint32_t histogram[kDigits];
  int64_t count;
  int digit;
  int filled;
  uint64_t chunk[kChunk];
};

struct KeyRange {
  uint64_t end;  // exclusive
  int64_t count;
};

// The best keys from `begin` on: at least `enough` and at most `capacity` of them, or all if they
// are not even enough. `key_of(i)` is the key of candidate i or kNoKey. Digit by digit, the bins of
// a histogram say where the range has to end (a radix select); it stops as soon as it can.
template <class KeyOf>
__device__ inline KeyRange BestRange(SelectMemory& memory, uint64_t begin, int64_t num_candidates,
                                     int64_t enough, int64_t capacity, const KeyOf& key_of) {
  uint64_t prefix = 0;
  int64_t count = 0;
  for (int shift = 64 - kDigitBits;; shift -= kDigitBits) {
    for (int i = threadIdx.x; i < kDigits; i += blockDim.x) memory.histogram[i] = 0;
    __syncthreads();
    for (int64_t i = threadIdx.x; i < num_candidates; i += blockDim.x) {
      const uint64_t key = key_of(i);
      if (key < begin || key == kNoKey) continue;
      // In two steps: a shift by all 64 bits is undefined.
      if (key >> shift >> kDigitBits != prefix) continue;
      atomicAdd(&memory.histogram[key >> shift & (kDigits - 1)], 1u);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int digit = 0;
      for (; digit < kDigits && count + memory.histogram[digit] <= capacity; ++digit) {
        count += memory.histogram[digit];
      }
      memory.digit = digit;
      memory.count = count;
    }
    __syncthreads();
    count = memory.count;
    // Only the first digit can show that all have room: below it stand those that had none.
    if (memory.digit == kDigits) return {kNoKey, count};
    prefix = prefix << kDigitBits | static_cast<uint64_t>(memory.digit);
    // The last digit tells every key from every other, so then the range is full.
    if (count >= enough) return {prefix << shift, count};
  }
}

// Sorts `size` keys, a power of two (a bitonic sort).
__device__ inline void SortChunk(uint64_t* keys, int size) {
  for (int run = 2; run <= size; run *= 2) {
    for (int step = run / 2; step > 0; step /= 2) {
      for (int i = threadIdx.x; i < size / 2; i += blockDim.x) {
        const int low = 2 * i - (i & (step - 1)), high = low + step;
        const uint64_t a = keys[low], b = keys[high];
        const bool ascending = (low & run) == 0;
        if ((a > b) == ascending) {
          keys[low] = b;
          keys[high] = a;
        }
      }
      __syncthreads();
    }
  }
}

// Sorts the next best keys into memory.chunk, moves *begin past them and returns how many there
// are: kChunk / 2 to kChunk of them, or fewer if they are the last.
template <class KeyOf>
__device__ inline int NextChunk(SelectMemory& memory, uint64_t* begin, int64_t num_candidates,
                                const KeyOf& key_of) {
  const KeyRange range =
      BestRange(memory, *begin, num_candidates, kChunk / 2, int64_t{kChunk}, key_of);
  const int count = static_cast<int>(range.count);
  int size = 2;
  while (size < count) size *= 2;
  if (threadIdx.x == 0) memory.filled = 0;
  for (int i = count + threadIdx.x; i < size; i += blockDim.x) memory.chunk[i] = kNoKey;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < num_candidates; i += blockDim.x) {
    const uint64_t key = key_of(i);
    // In whatever order the threads come: they are sorted afterwards.
    if (key >= *begin && key < range.end) memory.chunk[atomicAdd(&memory.filled, 1)] = key;
  }
  __syncthreads();
  SortChunk(memory.chunk, size);
  *begin = range.end;
  return count;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_GPU_SELECT_H_
