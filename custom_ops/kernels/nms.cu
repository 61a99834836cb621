#include "box_math.h"
#include "gpu_launch.h"
#include "gpu_select.h"
#include "gpu_suppress.h"
#include "nms.h"
#include "nms_math.h"

namespace mrcnn {
namespace {

struct NmsInput {
  NmsOptions options;
  const float* boxes;
  const float* scores;
  const int32_t* classes;
  const uint64_t* keys;
};

struct NmsOutput {
  int32_t* indices;
  float* kept_scores;
  int32_t* counts;
};

// A candidate of Soft-NMS that is not kept yet; its index is -1 once it is kept or has decayed.
struct Rival {
  Candidate candidate;
  float score;
  int32_t index;
};

__global__ void MakeKeys(NmsOptions options, int64_t total, const float* boxes, const float* scores,
                         uint64_t* keys) {
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const bool usable =
        IsUsableScore(scores[item], options.score_threshold) && IsUsableBox(boxes + 4 * item);
    keys[item] =
        usable ? SortKey(scores[item], static_cast<uint32_t>(item % options.num_boxes)) : kNoKey;
  }
}

__device__ inline Candidate CandidateAt(const NmsInput& input, int64_t item) {
  const Box box = OrderedBox(input.boxes + 4 * item);
  return {box, BoxArea(box), input.classes[item]};
}

// How many of an image's best boxes take part.
__device__ inline int64_t NumVisited(const NmsOptions& options) {
  const bool all = options.pre_nms_top_n <= 0 || options.pre_nms_top_n > options.num_boxes;
  return all ? options.num_boxes : options.pre_nms_top_n;
}

__device__ inline void FinishImage(const NmsOptions& options, const NmsOutput& output,
                                   int64_t image, int64_t count) {
  for (int64_t i = count + threadIdx.x; i < options.max_output; i += blockDim.x) {
    output.indices[image * options.max_output + i] = 0;
    output.kept_scores[image * options.max_output + i] = 0.0f;
  }
  if (threadIdx.x == 0) output.counts[image] = static_cast<int32_t>(count);
}

// A block for each image: candidates come best first, a sorted chunk at a time, until the result is
// full. `kept` is [batch, max_output].
__global__ void __launch_bounds__(kWideBlockThreads)
    HardNms(NmsInput input, Candidate* kept, NmsOutput output) {
  __shared__ SelectMemory select;
  __shared__ SuppressMemory suppress;
  const NmsOptions& options = input.options;
  const int64_t image = blockIdx.x;
  const int64_t first_box = image * options.num_boxes, first_row = image * options.max_output;
  const uint64_t* keys = input.keys + first_box;
  const auto key_of = [=](int64_t i) { return keys[i]; };
  int64_t left = NumVisited(options), count = 0;
  uint64_t begin = 0;
  while (left > 0 && count < options.max_output) {
    int found = NextChunk(select, &begin, options.num_boxes, key_of);
    if (found == 0) break;
    if (found > left) found = static_cast<int>(left);
    left -= found;
    for (int start = 0; start < found && count < options.max_output; start += kGroup) {
      const uint64_t* group = select.chunk + start;
      const auto load = [&](int i, Candidate* candidate) {
        *candidate = CandidateAt(input, first_box + KeyIndex(group[i]));
        return true;
      };
      const auto keep = [&](int i, int64_t row) {
        const uint32_t index = KeyIndex(group[i]);
        output.indices[first_row + row] = static_cast<int32_t>(index);
        output.kept_scores[first_row + row] = input.scores[first_box + index];
      };
      const int size = found - start < kGroup ? found - start : kGroup;
      count = SuppressGroup(suppress, size, options.iou_threshold, options.max_output, count,
                            kept + first_row, load, keep);
    }
  }
  FinishImage(options, output, image, count);
}

// In the __shared__ memory of a block.
struct BestMemory {
  uint64_t of_thread[kWideBlockThreads];
  uint64_t of_lane[kGroup];
};

// The smallest key of all threads of the block.
__device__ inline uint64_t BestOfBlock(BestMemory& memory, uint64_t key) {
  const int own = threadIdx.x;
  memory.of_thread[own] = key;
  __syncthreads();
  if (own < kGroup) {
    for (unsigned i = own + kGroup; i < blockDim.x; i += kGroup) {
      if (memory.of_thread[i] < key) key = memory.of_thread[i];
    }
    memory.of_lane[own] = key;
  }
  __syncthreads();
  for (int i = 0; i < kGroup; ++i) {
    if (memory.of_lane[i] < key) key = memory.of_lane[i];
  }
  return key;
}

// A block for each image: it keeps the best rival, and the others decay, until none is left or the
// result is full. `rivals` is [batch, num_boxes].
__global__ void __launch_bounds__(kWideBlockThreads)
    SoftNms(NmsInput input, Rival* rivals, NmsOutput output) {
  __shared__ SelectMemory select;
  __shared__ BestMemory best;
  __shared__ Rival kept;
  __shared__ int num_rivals;
  const NmsOptions& options = input.options;
  const int64_t image = blockIdx.x;
  const int64_t first_box = image * options.num_boxes, first_row = image * options.max_output;
  const uint64_t* keys = input.keys + first_box;
  const auto key_of = [=](int64_t i) { return keys[i]; };
  const int64_t visited = NumVisited(options);
  const uint64_t end = visited < options.num_boxes
                           ? BestRange(select, 0, options.num_boxes, visited, visited, key_of).end
                           : kNoKey;
  rivals += first_box;
  if (threadIdx.x == 0) num_rivals = 0;
  __syncthreads();
  for (int64_t i = threadIdx.x; i < options.num_boxes; i += blockDim.x) {
    if (keys[i] >= end) continue;
    // In whatever order the threads come: equal scores go by index.
    rivals[atomicAdd(&num_rivals, 1)] = {CandidateAt(input, first_box + i),
                                         input.scores[first_box + i], static_cast<int32_t>(i)};
  }
  __syncthreads();
  int64_t count = 0;
  while (count < options.max_output) {
    uint64_t own_key = kNoKey;
    int own_best = 0;
    for (int i = threadIdx.x; i < num_rivals; i += blockDim.x) {
      Rival& rival = rivals[i];
      if (rival.index < 0) continue;
      if (count > 0 && rival.candidate.class_id == kept.candidate.class_id) {
        const float iou = BoxIou(rival.candidate.box, rival.candidate.area, kept.candidate.box,
                                 kept.candidate.area);
        rival.score *= DecayFactor(options, iou);
        if (!(rival.score > options.score_threshold)) {
          rival.index = -1;
          continue;
        }
      }
      const uint64_t key = SortKey(rival.score, static_cast<uint32_t>(rival.index));
      if (key < own_key) {
        own_key = key;
        own_best = i;
      }
    }
    const uint64_t winner = BestOfBlock(best, own_key);
    if (winner == kNoKey) break;
    if (winner == own_key) {
      kept = rivals[own_best];
      rivals[own_best].index = -1;
      output.indices[first_row + count] = kept.index;
      output.kept_scores[first_row + count] = kept.score;
    }
    __syncthreads();
    ++count;
  }
  FinishImage(options, output, image, count);
}

int64_t KeysBytes(const NmsOptions& options) {
  return options.batch * options.num_boxes * static_cast<int64_t>(sizeof(uint64_t));
}

}  // namespace

size_t NmsGpuWorkspace(const NmsOptions& options) {
  const size_t per_image = options.mode == NmsMode::kHard
                               ? sizeof(Candidate) * static_cast<size_t>(options.max_output)
                               : sizeof(Rival) * static_cast<size_t>(options.num_boxes);
  return static_cast<size_t>(KeysBytes(options)) + static_cast<size_t>(options.batch) * per_image;
}

GpuStatus NmsGpu(const NmsOptions& options, const float* boxes, const float* scores,
                 const int32_t* classes, int32_t* indices, float* kept_scores, int32_t* counts,
                 void* workspace, GpuStream stream) {
  uint64_t* keys = static_cast<uint64_t*>(workspace);
  void* rest = static_cast<char*>(workspace) + KeysBytes(options);
  const int64_t total = options.batch * options.num_boxes;
  const GpuStatus error =
      LaunchElementwise("NmsKeys", MakeKeys, total, stream, options, total, boxes, scores, keys);
  if (!error.empty()) return error;
  const NmsInput input = {options, boxes, scores, classes, keys};
  const NmsOutput output = {indices, kept_scores, counts};
  if (options.mode == NmsMode::kHard) {
    return LaunchBlocks<kWideBlockThreads>("HardNms", HardNms, options.batch, stream, input,
                                           static_cast<Candidate*>(rest), output);
  }
  return LaunchBlocks<kWideBlockThreads>("SoftNms", SoftNms, options.batch, stream, input,
                                         static_cast<Rival*>(rest), output);
}

}  // namespace mrcnn
