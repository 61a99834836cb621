#include <cfloat>
#include <cmath>

#include "box_math.h"
#include "gpu_launch.h"
#include "gpu_select.h"
#include "gpu_suppress.h"
#include "proposals.h"

namespace mrcnn {
namespace {

// ProposalOptions and the outputs of the RPN as kernels can take them.
struct RpnLevels {
  int64_t pre_nms_top_n, post_nms_top_n;
  int64_t level_rows;  // more than these no level can keep
  float nms_threshold, min_size;
  int num_levels;
  int64_t sizes[kMaxGpuProposalLevels];
  const float* logits[kMaxGpuProposalLevels];
  const float* deltas[kMaxGpuProposalLevels];
  const float* anchors[kMaxGpuProposalLevels];
  const float* image_sizes;
};

// What each level of each image keeps, best first.
struct LevelResults {
  Candidate* kept;     // [batch, num_levels, level_rows]
  float* kept_logits;  // [batch, num_levels, level_rows]
  int32_t* counts;     // [batch, num_levels]
};

// A block for each level of each image.
__global__ void __launch_bounds__(kWideBlockThreads)
    ProposeOfLevel(RpnLevels rpn, LevelResults results) {
  __shared__ SelectMemory select;
  __shared__ SuppressMemory suppress;
  const int64_t item = blockIdx.x;
  const int64_t image = item / rpn.num_levels, level = item % rpn.num_levels;
  const int64_t size = rpn.sizes[level], first_row = item * rpn.level_rows;
  const float* logits = rpn.logits[level] + image * size;
  const float* deltas = rpn.deltas[level] + image * size * 4;
  const float* anchors = rpn.anchors[level];
  const float height = rpn.image_sizes[2 * image], width = rpn.image_sizes[2 * image + 1];
  const auto key_of = [=](int64_t i) {
    return IsUsableScore(logits[i], -FLT_MAX) ? SortKey(logits[i], static_cast<uint32_t>(i))
                                              : kNoKey;
  };
  int64_t left = rpn.pre_nms_top_n, count = 0;
  uint64_t begin = 0;
  while (left > 0 && count < rpn.level_rows) {
    int found = NextChunk(select, &begin, size, key_of);
    if (found == 0) break;
    if (found > left) found = static_cast<int>(left);
    left -= found;
    for (int start = 0; start < found && count < rpn.level_rows; start += kGroup) {
      const uint64_t* group = select.chunk + start;
      const auto load = [&](int i, Candidate* candidate) {
        const int64_t index = KeyIndex(group[i]);
        const Box decoded = DecodeBox(deltas + 4 * index, anchors + 4 * index);
        if (!IsFiniteBox(decoded)) return false;
        const Box box = ClipBox(decoded, height, width);
        *candidate = {box, BoxArea(box), 0};
        return IsLargeEnough(box, rpn.min_size) && IsFiniteValue(candidate->area);
      };
      const auto keep = [&](int i, int64_t row) {
        results.kept_logits[first_row + row] = logits[KeyIndex(group[i])];
      };
      const int group_size = found - start < kGroup ? found - start : kGroup;
      count = SuppressGroup(suppress, group_size, rpn.nms_threshold, rpn.level_rows, count,
                            results.kept + first_row, load, keep);
    }
  }
  if (threadIdx.x == 0) results.counts[item] = static_cast<int32_t>(count);
}

// A block for each image: the best of all its levels.
__global__ void __launch_bounds__(kWideBlockThreads)
    MergeLevels(RpnLevels rpn, LevelResults results, float* boxes, float* kept_logits,
                int32_t* counts) {
  __shared__ SelectMemory select;
  const int64_t image = blockIdx.x, rows = rpn.post_nms_top_n, first_output = image * rows;
  const int64_t level_rows = rpn.level_rows, num_found = rpn.num_levels * level_rows;
  const int64_t first = image * num_found;
  const int32_t* level_counts = results.counts + image * rpn.num_levels;
  const float* logits = results.kept_logits + first;
  const auto key_of = [=](int64_t i) {
    return i % level_rows < level_counts[i / level_rows]
               ? SortKey(logits[i], static_cast<uint32_t>(i))
               : kNoKey;
  };
  int64_t count = 0;
  uint64_t begin = 0;
  while (count < rows) {
    int found = NextChunk(select, &begin, num_found, key_of);
    if (found == 0) break;
    if (found > rows - count) found = static_cast<int>(rows - count);
    for (int i = threadIdx.x; i < found; i += blockDim.x) {
      const uint32_t index = KeyIndex(select.chunk[i]);
      const Box box = results.kept[first + index].box;
      float* row = boxes + 4 * (first_output + count + i);
      row[0] = box.x1;
      row[1] = box.y1;
      row[2] = box.x2;
      row[3] = box.y2;
      kept_logits[first_output + count + i] = logits[index];
    }
    count += found;
  }
  for (int64_t i = count + threadIdx.x; i < rows; i += blockDim.x) {
    for (int c = 0; c < 4; ++c) boxes[4 * (first_output + i) + c] = 0.0f;
    kept_logits[first_output + i] = -INFINITY;
  }
  if (threadIdx.x == 0) counts[image] = static_cast<int32_t>(count);
}

int64_t NumLevels(const ProposalOptions& options) {
  return static_cast<int64_t>(options.level_sizes.size());
}

int64_t LevelRows(const ProposalOptions& options) {
  int64_t largest = 0;
  for (int64_t size : options.level_sizes) largest = std::max(largest, size);
  return std::min({largest, options.pre_nms_top_n, options.post_nms_top_n});
}

}  // namespace

size_t ProposalsGpuWorkspace(const ProposalOptions& options) {
  const size_t items = static_cast<size_t>(options.batch * NumLevels(options));
  return items * (static_cast<size_t>(LevelRows(options)) * (sizeof(Candidate) + sizeof(float)) +
                  sizeof(int32_t));
}

GpuStatus ProposalsGpu(const ProposalOptions& options, const std::vector<const float*>& logits,
                       const std::vector<const float*>& deltas,
                       const std::vector<const float*>& anchors, const float* image_sizes,
                       float* boxes, float* kept_logits, int32_t* counts, void* workspace,
                       GpuStream stream) {
  const int64_t num_levels = NumLevels(options);
  if (num_levels > static_cast<int64_t>(kMaxGpuProposalLevels)) {
    return "Proposals take at most " + std::to_string(kMaxGpuProposalLevels) +
           " levels on the GPU, got " + std::to_string(num_levels);
  }
  RpnLevels rpn = {};
  rpn.pre_nms_top_n = options.pre_nms_top_n;
  rpn.post_nms_top_n = options.post_nms_top_n;
  rpn.level_rows = LevelRows(options);
  rpn.nms_threshold = options.nms_threshold;
  rpn.min_size = options.min_size;
  rpn.num_levels = static_cast<int>(num_levels);
  std::copy(options.level_sizes.begin(), options.level_sizes.end(), rpn.sizes);
  std::copy(logits.begin(), logits.end(), rpn.logits);
  std::copy(deltas.begin(), deltas.end(), rpn.deltas);
  std::copy(anchors.begin(), anchors.end(), rpn.anchors);
  rpn.image_sizes = image_sizes;
  const int64_t rows = options.batch * num_levels * rpn.level_rows;
  LevelResults results = {};
  results.kept = static_cast<Candidate*>(workspace);
  results.kept_logits = reinterpret_cast<float*>(results.kept + rows);
  results.counts = reinterpret_cast<int32_t*>(results.kept_logits + rows);
  const GpuStatus error = LaunchBlocks<kWideBlockThreads>(
      "ProposeOfLevel", ProposeOfLevel, options.batch * num_levels, stream, rpn, results);
  if (!error.empty()) return error;
  return LaunchBlocks<kWideBlockThreads>("MergeLevels", MergeLevels, options.batch, stream, rpn,
                                         results, boxes, kept_logits, counts);
}

}  // namespace mrcnn
