// Greedy suppression by the threads of one block, a group of candidates at a time. For .cu files.
#ifndef MRCNN_KERNELS_GPU_SUPPRESS_H_
#define MRCNN_KERNELS_GPU_SUPPRESS_H_

#include "box_math.h"
#include "gpu_launch.h"

namespace mrcnn {

struct Candidate {
  Box box;  // corners in order
  float area;
  int32_t class_id;
};

// A bit of a word for each candidate of a group. The pairs of a group are just enough for the
// threads of a wide block.
constexpr int kGroup = 32;

// In the __shared__ memory of a block.
struct SuppressMemory {
  Candidate group[kGroup];
  bool is_box[kGroup];
  uint32_t overlaps[kGroup];  // those that a candidate suppresses if it is kept
  uint32_t suppressed;        // by boxes that were kept before this group
  uint32_t chosen;
};

__device__ inline bool Suppresses(const Candidate& kept, const Candidate& candidate,
                                  float iou_threshold) {
  return kept.class_id == candidate.class_id &&
         BoxIou(candidate.box, candidate.area, kept.box, kept.area) > iou_threshold;
}

// Visits `size` <= kGroup candidates in their order. `load(i, &candidate)` gives the i-th or
// returns false if it is no box. kept[0 .. count) have been kept so far; a candidate that none of
// them suppresses is appended, and `keep(i, row)` called, until there are max_output. Returns the
// new count. To be called by all threads of a block.
template <class Load, class Keep>
__device__ inline int64_t SuppressGroup(SuppressMemory& memory, int size, float iou_threshold,
                                        int64_t max_output, int64_t count, Candidate* kept,
                                        const Load& load, const Keep& keep) {
  const int own = threadIdx.x;
  if (own < kGroup) {
    memory.overlaps[own] = 0;
    memory.is_box[own] = own < size && load(own, &memory.group[own]);
  }
  if (own == 0) memory.suppressed = 0;
  __syncthreads();
  const int lane = own % kGroup, first = own / kGroup, step = blockDim.x / kGroup;
  if (memory.is_box[lane]) {
    const Candidate candidate = memory.group[lane];
    for (int64_t i = first; i < count; i += step) {
      if (!Suppresses(kept[i], candidate, iou_threshold)) continue;
      atomicOr(&memory.suppressed, 1u << lane);
      break;
    }
    for (int i = first; i < lane; i += step) {
      if (memory.is_box[i] && Suppresses(memory.group[i], candidate, iou_threshold)) {
        atomicOr(&memory.overlaps[i], 1u << lane);
      }
    }
  }
  __syncthreads();
  if (own == 0) {
    uint32_t suppressed = memory.suppressed, chosen = 0;
    int64_t room = max_output - count;
    for (int i = 0; i < size && room > 0; ++i) {
      if (!memory.is_box[i] || (suppressed >> i & 1u) != 0) continue;
      chosen |= 1u << i;
      suppressed |= memory.overlaps[i];
      --room;
    }
    memory.chosen = chosen;
  }
  __syncthreads();
  const uint32_t chosen = memory.chosen;
  if (own < kGroup && (chosen >> own & 1u) != 0) {
    const int64_t row = count + __popc(chosen & ((1u << own) - 1u));
    kept[row] = memory.group[own];
    keep(own, row);
  }
  return count + __popc(chosen);
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_GPU_SUPPRESS_H_
