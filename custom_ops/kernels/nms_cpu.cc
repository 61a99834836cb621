#include <algorithm>
#include <functional>
#include <queue>
#include <unordered_map>
#include <utility>
#include <vector>

#include "best_keys.h"
#include "box_math.h"
#include "kept_boxes.h"
#include "nms.h"
#include "nms_math.h"

namespace mrcnn {
namespace {

// What is kept of each class: a candidate only meets boxes of its own.
template <class Kept>
class KeptByClass {
 public:
  Kept& Of(int32_t class_id) {
    if (last_ == nullptr || class_id != last_class_) {
      last_ = &by_class_[class_id];
      last_class_ = class_id;
    }
    return *last_;
  }

 private:
  std::unordered_map<int32_t, Kept> by_class_;
  Kept* last_ = nullptr;
  int32_t last_class_ = 0;
};

struct Image {
  const float* boxes;
  const float* scores;
  const int32_t* classes;
  int32_t* indices;
  float* kept_scores;
};

std::vector<uint64_t> Candidates(const NmsOptions& options, const Image& image, int64_t wanted) {
  return BestKeys(image.scores, options.num_boxes, wanted, [&](int64_t i) {
    return IsUsableScore(image.scores[i], options.score_threshold) &&
           IsUsableBox(image.boxes + 4 * i);
  });
}

// Visits `order` until the result is full.
int64_t Visit(const NmsOptions& options, const Image& image, const std::vector<uint64_t>& order) {
  KeptByClass<KeptBoxes> kept;
  int64_t count = 0;
  for (uint64_t key : order) {
    if (count == options.max_output) break;
    const int64_t index = KeyIndex(key);
    const Box box = OrderedBox(image.boxes + 4 * index);
    const float area = BoxArea(box);
    KeptBoxes& rivals = kept.Of(image.classes[index]);
    if (rivals.Suppress(box, area, options.iou_threshold)) continue;
    image.indices[count] = static_cast<int32_t>(index);
    image.kept_scores[count] = image.scores[index];
    rivals.Add(box, area);
    ++count;
  }
  return count;
}

int64_t HardNms(const NmsOptions& options, const Image& image) {
  const int64_t all = options.pre_nms_top_n > 0 ? std::min(options.pre_nms_top_n, options.num_boxes)
                                                : options.num_boxes;
  // The best few fill the result unless most of them are doubles; only then do all take part.
  const int64_t few = std::min(all, std::max<int64_t>(4096, 4 * options.max_output));
  std::vector<uint64_t> order = Candidates(options, image, few);
  const bool were_all = few == all || static_cast<int64_t>(order.size()) < few;
  int64_t count = Visit(options, image, order);
  if (count < options.max_output && !were_all) {
    order = Candidates(options, image, all);
    count = Visit(options, image, order);
  }
  return count;
}

// A candidate with its score after the first `seen` kept boxes of its class.
struct Rival {
  uint64_t key;  // of the score
  float score;
  size_t seen;

  bool operator<(const Rival& other) const { return key > other.key; }
};

// A score never rises, so a candidate's decay is worked out only when it would be the next by the
// score that it had: most never come that far.
int64_t SoftNms(const NmsOptions& options, const Image& image) {
  struct Kept {
    Box box;
    float area;
  };
  const int64_t all = options.pre_nms_top_n > 0 ? options.pre_nms_top_n : options.num_boxes;
  std::vector<Rival> rivals;
  for (uint64_t key : Candidates(options, image, all)) {
    rivals.push_back({key, image.scores[KeyIndex(key)], 0});
  }
  std::priority_queue<Rival> queue(std::less<Rival>(), std::move(rivals));
  KeptByClass<std::vector<Kept>> kept;
  int64_t count = 0;
  while (!queue.empty() && count < options.max_output) {
    Rival rival = queue.top();
    queue.pop();
    const uint32_t index = KeyIndex(rival.key);
    const Box box = OrderedBox(image.boxes + 4 * static_cast<int64_t>(index));
    const float area = BoxArea(box), score = rival.score;
    std::vector<Kept>& better = kept.Of(image.classes[index]);
    for (; rival.seen < better.size(); ++rival.seen) {
      const float iou = BoxIou(box, area, better[rival.seen].box, better[rival.seen].area);
      if (iou > 0.0f) rival.score *= DecayFactor(options, iou);
    }
    if (rival.score == score) {
      image.indices[count] = static_cast<int32_t>(index);
      image.kept_scores[count] = score;
      better.push_back({box, area});
      ++count;
    } else if (rival.score > options.score_threshold) {
      rival.key = SortKey(rival.score, index);
      queue.push(rival);
    }
  }
  return count;
}

}  // namespace

void NmsCpu(const NmsOptions& options, const float* boxes, const float* scores,
            const int32_t* classes, int32_t* indices, float* kept_scores, int32_t* counts,
            const ParallelFor& parallel_for) {
  const int64_t n = options.num_boxes, kept = options.max_output;
  parallel_for.run(options.batch, 500 * n, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      const Image image = {boxes + b * n * 4, scores + b * n, classes + b * n, indices + b * kept,
                           kept_scores + b * kept};
      const int64_t count =
          options.mode == NmsMode::kHard ? HardNms(options, image) : SoftNms(options, image);
      std::fill(image.indices + count, image.indices + kept, 0);
      std::fill(image.kept_scores + count, image.kept_scores + kept, 0.0f);
      counts[b] = static_cast<int32_t>(count);
    }
  });
}

}  // namespace mrcnn
