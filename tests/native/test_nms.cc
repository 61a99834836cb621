#include <set>

#include "check.h"
#include "nms.h"
#include "random_cases.h"
#include "reference.h"

namespace mrcnn {
namespace {

struct NmsCase {
  explicit NmsCase(Random& random, const std::vector<NmsMode>& modes)
      : options{random.Integer(0, 2),
                random.OneIn(100) ? random.Integer(100, 300) : random.Integer(0, 24),
                random.Integer(1, 30),
                random.OneIn(2) ? 0 : random.Integer(1, 30),
                random.OneOf<float>({0.0f, 0.3f, 0.5f, 0.7f, 1.0f}),
                random.OneOf<float>({-INFINITY, -1.0f, 0.0f, 0.05f, 0.5f}),
                random.OneOf(modes),
                random.OneOf<float>({0.1f, 0.5f, 2.0f})},
        boxes(options.batch * options.num_boxes * 4),
        scores(options.batch * options.num_boxes),
        classes(options.batch * options.num_boxes),
        indices(options.batch * options.max_output),
        kept_scores(options.batch * options.max_output),
        counts(options.batch) {
    FillBoxes(random, 64.0f, boxes);
    const bool ties = random.OneIn(2);
    const int64_t num_classes = random.Integer(1, 3);
    for (int64_t i = 0; i < scores.size; ++i) {
      scores[i] = ties ? static_cast<float>(random.Integer(0, 5)) / 5.0f
                       : random.Coordinate(-0.2f, 1.0f, 20);
      classes[i] = static_cast<int32_t>(random.Integer(-1, num_classes - 2));
      if (random.OneIn(50)) classes[i] = random.OneOf<int32_t>({INT32_MIN, INT32_MAX});
    }
    for (int64_t i = 0; i < indices.size; ++i) {
      indices[i] = -7;
      kept_scores[i] = -7.0f;
    }
  }

  void Run(const ParallelFor& parallel_for) {
    NmsCpu(options, boxes.data, scores.data, classes.data, indices.data, kept_scores.data,
           counts.data, parallel_for);
  }

  void CheckPadding(int64_t image) {
    for (int64_t i = counts[image]; i < options.max_output; ++i) {
      CHECK_EQ(indices[image * options.max_output + i], 0);
      CHECK_EQ(kept_scores[image * options.max_output + i], 0.0f);
    }
  }

  NmsOptions options;
  Array<float> boxes, scores;
  Array<int32_t> classes, indices;
  Array<float> kept_scores;
  Array<int32_t> counts;
};

TEST(HardNmsEqualsReference) {
  ForEachCase(200, [](Random& random) {
    NmsCase nms(random, {NmsMode::kHard});
    nms.Run(SomeThreads(random));
    for (int64_t image = 0; image < nms.options.batch; ++image) {
      const float* scores = nms.scores.data + image * nms.options.num_boxes;
      const std::vector<int32_t> expected =
          ReferenceHardNms(nms.options, nms.boxes.data + image * nms.options.num_boxes * 4, scores,
                           nms.classes.data + image * nms.options.num_boxes);
      CHECK_EQ(nms.counts[image], static_cast<int32_t>(expected.size()));
      for (size_t i = 0; i < expected.size(); ++i) {
        const int64_t at = image * nms.options.max_output + static_cast<int64_t>(i);
        CHECK_EQ(nms.indices[at], expected[i]);
        CHECK_EQ(nms.kept_scores[at], scores[expected[i]]);
      }
      nms.CheckPadding(image);
    }
  });
}

// Enough boxes to be kept that they are searched by size and place, with many IoUs near the
// threshold, in images from a thousandth of a pixel to a million pixels wide.
TEST(HardNmsOfManyBoxesEqualsReference) {
  ForEachCase(4, [](Random& random) {
    const int64_t count = random.Integer(1000, 3000);
    const NmsOptions options{1,
                             count,
                             random.OneIn(2) ? count : random.Integer(500, 1500),
                             0,
                             random.OneOf<float>({0.45f, 0.5f, 0.6f, 0.7f, 0.9f, 1.0f}),
                             random.OneOf<float>({-INFINITY, 0.1f}),
                             NmsMode::kHard,
                             0.5f};
    Array<float> boxes(count * 4), scores(count), kept_scores(options.max_output);
    Array<int32_t> classes(count), indices(options.max_output), counts(1);
    const float extent = random.OneIn(3) ? random.LogUniform(1e-3f, 2e6f) : 1000.0f;
    const float origin = random.Uniform(-1.0f, 1.0f);
    for (int64_t i = 0; i < count; ++i) {
      float* box = boxes.data + 4 * i;
      for (int axis = 0; axis < 2; ++axis) {
        box[axis] = extent * (origin + random.Uniform(0.0f, 1.0f));
        box[axis + 2] = box[axis] + extent * random.LogUniform(0.01f, 0.2f);
      }
      if (i > 0 && random.OneIn(2)) {
        // A double of some box before it, moved and stretched along one axis until the IoU is at
        // the threshold or a little off.
        const int axis = static_cast<int>(random.Integer(0, 1));
        const float* other = boxes.data + 4 * random.Integer(0, i - 1);
        const float t = options.iou_threshold, side = other[axis + 2] - other[axis];
        // Sides just below a power of two have the furthest neighbours.
        float own = side * random.Uniform(t, 1.0f / t);
        const float power = std::exp2(std::ceil(std::log2(own))) * 0.999999f;
        if (random.OneIn(2)) own = power <= side / t ? power : side / t * 0.999999f;
        const float shared = t / (1.0f + t) * (side + own) *
                             (1.0f + random.OneOf<float>({0.0f, 1e-6f, 1e-4f, -1e-4f, 0.05f}));
        std::copy_n(other, 4, box);
        box[axis] = random.OneIn(2) ? other[axis + 2] - shared : other[axis] + shared - own;
        box[axis + 2] = box[axis] + own;
      }
      if (random.OneIn(4 * count)) box[random.Integer(0, 3)] = random.Hostile();
      scores[i] = random.Uniform(0.0f, 1.0f);
      classes[i] = random.OneIn(20) ? 1 : 0;
    }
    NmsCpu(options, boxes.data, scores.data, classes.data, indices.data, kept_scores.data,
           counts.data, SomeThreads(random));
    const std::vector<int32_t> expected =
        ReferenceHardNms(options, boxes.data, scores.data, classes.data);
    CHECK_EQ(counts[0], static_cast<int32_t>(expected.size()));
    for (size_t i = 0; i < expected.size(); ++i) CHECK_EQ(indices[i], expected[i]);
  });
}

// Decayed scores that differ by a rounding may be taken in either order. So the kernel's choices
// are followed step by step: each has to be as good as the best that is left.
void FollowSoftNms(NmsCase& nms, int64_t image) {
  const NmsOptions& options = nms.options;
  const float* boxes = nms.boxes.data + image * options.num_boxes * 4;
  const float* scores = nms.scores.data + image * options.num_boxes;
  const int32_t* classes = nms.classes.data + image * options.num_boxes;
  const std::vector<int32_t> candidates = NmsCandidates(options, boxes, scores);
  std::vector<double> decayed(scores, scores + options.num_boxes);
  std::set<int32_t> left(candidates.begin(), candidates.end());
  for (int64_t step = 0; step <= nms.counts[image]; ++step) {
    double best = options.score_threshold;
    for (int32_t i : left) best = std::max(best, decayed[i]);
    if (step == options.max_output) return;
    // Denormal scores have few digits left.
    const double tolerance =
        1e-5 * std::fabs(best) + 1e-6 * std::fabs(options.score_threshold) + 1e-40;
    if (step == nms.counts[image]) {
      CHECK(left.empty() || best <= options.score_threshold + tolerance || std::isinf(best));
      return;
    }
    const int64_t at = image * options.max_output + step;
    const int32_t chosen = nms.indices[at];
    CHECK_EQ(left.erase(chosen), 1u);
    CHECK(decayed[chosen] >= best - tolerance);
    CHECK_NEAR(nms.kept_scores[at], decayed[chosen], tolerance);
    CHECK(nms.kept_scores[at] > options.score_threshold);
    if (step > 0) CHECK(nms.kept_scores[at] <= nms.kept_scores[at - 1]);
    for (int32_t i : left) {
      if (classes[i] != classes[chosen]) continue;
      const float iou =
          ReferenceIou(Ordered(boxes + 4 * chosen).corners, Ordered(boxes + 4 * i).corners);
      decayed[i] *= SoftNmsDecay(options, iou);
    }
  }
}

TEST(SoftNmsEqualsReference) {
  ForEachCase(100, [](Random& random) {
    NmsCase nms(random, {NmsMode::kLinear, NmsMode::kGaussian});
    // A negative score would grow when it decays, so soft modes are for positive ones.
    for (int64_t i = 0; i < nms.scores.size; ++i) {
      if (nms.scores[i] < 0.0f) nms.scores[i] = -nms.scores[i];
    }
    nms.Run(SomeThreads(random));
    for (int64_t image = 0; image < nms.options.batch; ++image) {
      CHECK(nms.counts[image] >= 0 && nms.counts[image] <= nms.options.max_output);
      FollowSoftNms(nms, image);
      nms.CheckPadding(image);
    }
  });
}

}  // namespace
}  // namespace mrcnn
