#include <algorithm>
#include <cfloat>
#include <limits>
#include <vector>

#include "best_keys.h"
#include "box_math.h"
#include "kept_boxes.h"
#include "proposals.h"

namespace mrcnn {
namespace {

struct Proposal {
  Box box;
  float logit;
};

// The proposals of one level of one image, best first, at most as many as the image may have.
std::vector<Proposal> LevelProposals(const ProposalOptions& options, int64_t num_anchors,
                                     const float* logits, const float* deltas, const float* anchors,
                                     const float* image_size) {
  // Rows below are never selected: the lowest number marks what is no box.
  const std::vector<uint64_t> order =
      BestKeys(logits, num_anchors, std::min(options.pre_nms_top_n, num_anchors),
               [&](int64_t i) { return IsUsableScore(logits[i], -FLT_MAX); });
  std::vector<Proposal> kept;
  KeptBoxes rivals;
  for (uint64_t key : order) {
    if (static_cast<int64_t>(kept.size()) == options.post_nms_top_n) break;
    const int64_t i = KeyIndex(key);
    const Box decoded = DecodeBox(deltas + 4 * i, anchors + 4 * i);
    if (!IsFiniteBox(decoded)) continue;
    const Box box = ClipBox(decoded, image_size[0], image_size[1]);
    if (!IsLargeEnough(box, options.min_size)) continue;
    const float area = BoxArea(box);
    if (!IsFiniteValue(area) || rivals.Suppress(box, area, options.nms_threshold)) continue;
    rivals.Add(box, area);
    kept.push_back({box, logits[i]});
  }
  return kept;
}

}  // namespace

void ProposalsCpu(const ProposalOptions& options, const std::vector<const float*>& logits,
                  const std::vector<const float*>& deltas, const std::vector<const float*>& anchors,
                  const float* image_sizes, float* boxes, float* kept_logits, int32_t* counts,
                  const ParallelFor& parallel_for) {
  const int64_t levels = static_cast<int64_t>(options.level_sizes.size());
  const int64_t rows = options.post_nms_top_n;
  std::vector<std::vector<Proposal>> found(options.batch * levels);
  int64_t total = 0;
  for (int64_t size : options.level_sizes) total += size;
  const int64_t cost = 20 * total / std::max<int64_t>(levels, 1) + 1000 * options.pre_nms_top_n;
  parallel_for.run(options.batch * levels, cost, [&](int64_t begin, int64_t end) {
    for (int64_t item = begin; item < end; ++item) {
      const int64_t b = item / levels, level = item % levels, n = options.level_sizes[level];
      found[item] = LevelProposals(options, n, logits[level] + b * n, deltas[level] + b * n * 4,
                                   anchors[level], image_sizes + 2 * b);
    }
  });
  parallel_for.run(options.batch, 50 * levels * rows, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      std::vector<uint64_t> order;
      std::vector<const Proposal*> proposals;
      for (int64_t level = 0; level < levels; ++level) {
        for (const Proposal& proposal : found[b * levels + level]) {
          order.push_back(SortKey(proposal.logit, static_cast<uint32_t>(proposals.size())));
          proposals.push_back(&proposal);
        }
      }
      const int64_t count = std::min<int64_t>(rows, order.size());
      std::partial_sort(order.begin(), order.begin() + count, order.end());
      float* row = boxes + b * rows * 4;
      for (int64_t i = 0; i < count; ++i) {
        const Proposal& proposal = *proposals[KeyIndex(order[i])];
        *row++ = proposal.box.x1;
        *row++ = proposal.box.y1;
        *row++ = proposal.box.x2;
        *row++ = proposal.box.y2;
        kept_logits[b * rows + i] = proposal.logit;
      }
      std::fill(row, boxes + (b + 1) * rows * 4, 0.0f);
      std::fill(kept_logits + b * rows + count, kept_logits + (b + 1) * rows,
                -std::numeric_limits<float>::infinity());
      counts[b] = static_cast<int32_t>(count);
    }
  });
}

}  // namespace mrcnn
