#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "nms.h"
#include "simd.h"

namespace mrcnn {
namespace {

struct Box {
  float x1, y1, x2, y2, area;
  int32_t class_id;
};

// The kept boxes, one array for each coordinate, so that a candidate meets several at a time. The
// arrays are padded to whole vectors with empty boxes, which overlap nothing.
class KeptBoxes {
 public:
  void Add(const Box& box) {
    if (count_ % Wide::kLanes == 0) {
      for (std::vector<float>* values : {&x1_, &y1_, &x2_, &y2_, &area_}) {
        values->resize(count_ + Wide::kLanes, 0.0f);
      }
      class_id_.resize(count_ + Wide::kLanes, 0);
    }
    x1_[count_] = box.x1;
    y1_[count_] = box.y1;
    x2_[count_] = box.x2;
    y2_[count_] = box.y2;
    area_[count_] = box.area;
    class_id_[count_] = box.class_id;
    ++count_;
  }

  // Whether a kept box of the same class overlaps `box` by an IoU above the threshold. The IoU is
  // rounded exactly as TensorFlow's NonMaxSuppressionV4 rounds it, hence the division.
  template <class S>
  MRCNN_INLINE bool Suppress(const Box& box, float iou_threshold) const {
    using Float = typename S::Float;
    using Int = typename S::Int;
    const Float zero = {};
    const Float x1 = box.x1 - zero, y1 = box.y1 - zero, x2 = box.x2 - zero, y2 = box.y2 - zero;
    for (int i = 0; i < count_; i += S::kLanes) {
      Float kept_x1, kept_y1, kept_x2, kept_y2, kept_area;
      Int kept_class;
      Load(&x1_[i], kept_x1);
      Load(&y1_[i], kept_y1);
      Load(&x2_[i], kept_x2);
      Load(&y2_[i], kept_y2);
      Load(&area_[i], kept_area);
      std::memcpy(&kept_class, &class_id_[i], sizeof(kept_class));
      const Float left = kept_x1 > x1 ? kept_x1 : x1;
      const Float top = kept_y1 > y1 ? kept_y1 : y1;
      const Float right = kept_x2 < x2 ? kept_x2 : x2;
      const Float bottom = kept_y2 < y2 ? kept_y2 : y2;
      Float width = right - left;
      Float height = bottom - top;
      width = width > zero ? width : zero;
      height = height > zero ? height : zero;
      const Float shared = width * height;
      const Float iou = shared / (box.area + kept_area - shared);
      const Int hit = (iou > iou_threshold) & (kept_class == box.class_id);
      int64_t words[sizeof(Int) / 8];
      std::memcpy(words, &hit, sizeof(hit));
      int64_t any = 0;
      for (int64_t word : words) any |= word;
      if (any != 0) return true;
    }
    return false;
  }

  int count() const { return count_; }

 private:
  int count_ = 0;
  std::vector<float> x1_, y1_, x2_, y2_, area_;
  std::vector<int32_t> class_id_;
};

bool SuppressNarrow(const KeptBoxes& kept, const Box& box, float iou_threshold) {
  return kept.Suppress<Narrow>(box, iou_threshold);
}

#if MRCNN_HAS_WIDE
MRCNN_TARGET_WIDE bool SuppressWide(const KeptBoxes& kept, const Box& box, float iou_threshold) {
  return kept.Suppress<Wide>(box, iou_threshold);
}
#else
constexpr auto SuppressWide = SuppressNarrow;
#endif

// Corners in order, whichever way round they were given.
Box MakeBox(const float* box, int32_t class_id) {
  Box ordered = {std::min(box[0], box[2]),
                 std::min(box[1], box[3]),
                 std::max(box[0], box[2]),
                 std::max(box[1], box[3]),
                 0.0f,
                 class_id};
  ordered.area = (ordered.x2 - ordered.x1) * (ordered.y2 - ordered.y1);
  return ordered;
}

// A number that sorts by descending score, then by ascending index.
uint64_t SortKey(float score, uint32_t index) {
  score += 0.0f;  // -0 and 0 are equal scores
  uint32_t bits;
  std::memcpy(&bits, &score, sizeof(bits));
  const uint32_t ascending = bits & 0x80000000u ? ~bits : bits | 0x80000000u;
  return static_cast<uint64_t>(~ascending) << 32 | index;
}

int NmsImage(const float* boxes, const float* scores, const int32_t* classes, int64_t num_boxes,
             float iou_threshold, float score_threshold, int64_t max_output, int32_t* indices,
             float* kept_scores) {
  std::vector<uint64_t> order;
  for (int64_t i = 0; i < num_boxes; ++i) {
    if (!(scores[i] > score_threshold) || !std::isfinite(scores[i])) continue;
    const float* box = boxes + 4 * i;
    // An area is finite only if all coordinates are, and one that overflows has no IoU.
    if (!std::isfinite((box[2] - box[0]) * (box[3] - box[1]))) continue;
    order.push_back(SortKey(scores[i], static_cast<uint32_t>(i)));
  }

  const auto suppress = UseWide() ? SuppressWide : SuppressNarrow;
  KeptBoxes kept;
  auto sorted_end = order.begin();
  // Sorted a stretch at a time: the result is often full long before the candidates are used up.
  int64_t stretch = std::max<int64_t>(1024, 4 * static_cast<int64_t>(max_output));
  for (auto next = order.begin(); next != order.end() && kept.count() < max_output; ++next) {
    if (next == sorted_end) {
      const auto sorted_begin = sorted_end;
      sorted_end += std::min<int64_t>(stretch, order.end() - sorted_begin);
      if (sorted_end != order.end()) std::nth_element(sorted_begin, sorted_end, order.end());
      std::sort(sorted_begin, sorted_end);
      stretch *= 2;
    }
    const int32_t index = static_cast<int32_t>(*next & 0xffffffffu);
    const Box box = MakeBox(boxes + 4 * static_cast<int64_t>(index), classes[index]);
    if (box.area > 0.0f && suppress(kept, box, iou_threshold)) continue;
    indices[kept.count()] = index;
    kept_scores[kept.count()] = scores[index];
    kept.Add(box);
  }
  std::fill(indices + kept.count(), indices + max_output, 0);
  std::fill(kept_scores + kept.count(), kept_scores + max_output, 0.0f);
  return kept.count();
}

}  // namespace

void NmsCpu(const NmsOptions& options, const float* boxes, const float* scores,
            const int32_t* classes, int32_t* indices, float* kept_scores, int32_t* counts,
            const ParallelFor& parallel_for) {
  const int64_t n = options.num_boxes, kept = options.max_output;
  parallel_for.run(options.batch, 500 * n, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) {
      counts[b] =
          NmsImage(boxes + b * n * 4, scores + b * n, classes + b * n, n, options.iou_threshold,
                   options.score_threshold, kept, indices + b * kept, kept_scores + b * kept);
    }
  });
}

}  // namespace mrcnn
