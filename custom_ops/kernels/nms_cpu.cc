#include <algorithm>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "box_math.h"
#include "kept_boxes.h"
#include "nms.h"

namespace mrcnn {
namespace {

// The kept boxes of each class: a candidate only meets those of its own.
class KeptByClass {
 public:
  KeptBoxes& Of(int32_t class_id) {
    if (last_ == nullptr || class_id != last_class_) {
      last_ = &by_class_[class_id];
      last_class_ = class_id;
    }
    return *last_;
  }

 private:
  std::unordered_map<int32_t, KeptBoxes> by_class_;
  KeptBoxes* last_ = nullptr;
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

// Visits `order` best first until the result is full.
int64_t Visit(const NmsOptions& options, const Image& image, std::vector<uint64_t>* order) {
  KeptByClass kept;
  int64_t count = 0;
  auto sorted_end = order->begin();
  // Sorted a stretch at a time: the result is often full long before the candidates are used up.
  int64_t stretch = std::max<int64_t>(1024, 2 * options.max_output);
  for (auto next = order->begin(); next != order->end() && count < options.max_output; ++next) {
    if (next == sorted_end) {
      const auto sorted_begin = sorted_end;
      sorted_end += std::min<int64_t>(stretch, order->end() - sorted_begin);
      if (sorted_end != order->end()) std::nth_element(sorted_begin, sorted_end, order->end());
      std::sort(sorted_begin, sorted_end);
      stretch *= 2;
    }
    const int64_t index = KeyIndex(*next);
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
  int64_t count = Visit(options, image, &order);
  if (count < options.max_output && !were_all) {
    order = Candidates(options, image, all);
    count = Visit(options, image, &order);
  }
  return count;
}

struct Rival {
  Box box;
  float area, score;
  int32_t class_id, index;
};

int64_t SoftNms(const NmsOptions& options, const Image& image) {
  const int64_t all = options.pre_nms_top_n > 0 ? options.pre_nms_top_n : options.num_boxes;
  std::vector<uint64_t> order = Candidates(options, image, all);
  std::vector<Rival> rivals;
  rivals.reserve(order.size());
  for (uint64_t key : order) {
    const int64_t i = KeyIndex(key);
    const Box box = OrderedBox(image.boxes + 4 * i);
    rivals.push_back(
        {box, BoxArea(box), image.scores[i], image.classes[i], static_cast<int32_t>(i)});
  }
  int64_t count = 0;
  while (!rivals.empty() && count < options.max_output) {
    const auto best =
        std::min_element(rivals.begin(), rivals.end(), [](const Rival& a, const Rival& b) {
          return a.score != b.score ? a.score > b.score : a.index < b.index;
        });
    const Rival kept = *best;
    *best = rivals.back();
    rivals.pop_back();
    image.indices[count] = kept.index;
    image.kept_scores[count] = kept.score;
    ++count;
    size_t left = 0;
    for (const Rival& candidate : rivals) {
      Rival rival = candidate;
      if (rival.class_id == kept.class_id) {
        const float iou = BoxIou(rival.box, rival.area, kept.box, kept.area);
        if (options.mode == NmsMode::kGaussian) {
          rival.score *= std::exp(-(iou * iou) / options.sigma);
        } else if (iou > options.iou_threshold) {
          rival.score *= 1.0f - iou;
        }
        if (!(rival.score > options.score_threshold)) continue;
      }
      rivals[left++] = rival;
    }
    rivals.resize(left);
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
