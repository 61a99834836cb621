#include "check.h"
#include "nms.h"
#include "random_cases.h"
#include "reference.h"

namespace mrcnn {
namespace {

struct NmsCase {
  explicit NmsCase(Random& random)
      : options{random.Integer(0, 2),
                random.OneIn(100) ? random.Integer(100, 300) : random.Integer(0, 24),
                random.Integer(1, 30),
                0,
                random.OneOf<float>({0.0f, 0.3f, 0.5f, 0.7f, 1.0f}),
                random.OneOf<float>({-INFINITY, -1.0f, 0.0f, 0.05f, 0.5f}),
                NmsMode::kHard,
                0.5f},
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
  ForEachCase(400, [](Random& random) {
    NmsCase nms(random);
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

}  // namespace
}  // namespace mrcnn
