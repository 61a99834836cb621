#include <cstring>

#include "check.h"
#include "nms.h"
#include "random_cases.h"

namespace mrcnn {
namespace {

// Scores of a kind that makes a select over their digits hard: all equal, in few steps, of every
// order of magnitude, neighbouring floats, or hostile.
void FillScores(Random& random, Array<float>& scores) {
  const int64_t kind = random.Integer(0, 4);
  for (int64_t i = 0; i < scores.size; ++i) {
    scores[i] = kind == 0   ? 0.75f
                : kind == 1 ? static_cast<float>(random.Integer(0, 5)) / 5.0f
                : kind == 2 ? random.LogUniform(1e-30f, 1.0f)
                : kind == 3 ? 0.5f + 0x1p-24f * static_cast<float>(random.Integer(0, 400))
                            : random.Coordinate(-0.2f, 1.0f, 10);
  }
}

// Emulated threads are dear, so there are few cases, and each is worth its threads: as many boxes
// as a block selects in several chunks.
void CompareWithCpu(Random& random, const std::vector<NmsMode>& modes) {
  NmsOptions options;
  options.batch = random.Integer(0, 2);
  options.num_boxes = random.OneIn(3) ? random.Integer(0, 40) : random.Integer(100, 600);
  options.max_output = random.OneIn(4) ? random.Integer(100, 700) : random.Integer(1, 40);
  options.pre_nms_top_n = random.OneIn(2) ? 0 : random.Integer(1, random.OneOf<int64_t>({40, 300}));
  options.iou_threshold = random.OneOf<float>({0.0f, 0.3f, 0.5f, 0.7f, 1.0f});
  options.mode = random.OneOf(modes);
  options.score_threshold = options.mode == NmsMode::kHard
                                ? random.OneOf<float>({-INFINITY, -1.0f, 0.0f, 0.05f, 0.5f})
                                : random.OneOf<float>({0.0f, 0.05f, 0.5f});
  options.sigma = random.OneOf<float>({0.1f, 0.5f, 2.0f});
  // A soft mode synchronises a few times for each box that it keeps.
  if (options.mode != NmsMode::kHard) options.max_output = random.Integer(1, 12);
  const int64_t rows = options.batch * options.max_output;
  Array<float> boxes(options.batch * options.num_boxes * 4);
  Array<float> scores(options.batch * options.num_boxes);
  Array<int32_t> classes(options.batch * options.num_boxes);
  Array<int32_t> indices(rows), expected_indices(rows);
  Array<float> kept_scores(rows), expected_scores(rows);
  Array<int32_t> counts(options.batch), expected_counts(options.batch);
  FillBoxes(random, random.OneOf<float>({16.0f, 64.0f, 1000.0f}), boxes);
  FillScores(random, scores);
  const int64_t num_classes = random.OneOf<int64_t>({1, 3, 80});
  for (int64_t i = 0; i < classes.size; ++i) {
    classes[i] = static_cast<int32_t>(random.Integer(-1, num_classes - 2));
    if (random.OneIn(50)) classes[i] = random.OneOf<int32_t>({INT32_MIN, INT32_MAX});
  }
  Array<uint64_t> workspace(static_cast<int64_t>((NmsGpuWorkspace(options) + 7) / 8));
  std::memset(workspace.data, 0x7f, static_cast<size_t>(workspace.size) * 8);
  for (int64_t i = 0; i < rows; ++i) {
    indices[i] = -7;
    kept_scores[i] = -7.0f;
  }

  NmsCpu(options, boxes.data, scores.data, classes.data, expected_indices.data,
         expected_scores.data, expected_counts.data, OneThread());
  const GpuStatus error = NmsGpu(options, boxes.data, scores.data, classes.data, indices.data,
                                 kept_scores.data, counts.data, workspace.data, nullptr);

  CHECK_EQ(error, "");
  for (int64_t i = 0; i < counts.size; ++i) CHECK_EQ(counts[i], expected_counts[i]);
  for (int64_t i = 0; i < rows; ++i) {
    CHECK_EQ(indices[i], expected_indices[i]);
    CHECK_EQ(kept_scores[i], expected_scores[i]);
  }
}

TEST(HardNmsGpuEqualsCpu) {
  ForEachCase(20, [](Random& random) { CompareWithCpu(random, {NmsMode::kHard}); });
}

TEST(SoftNmsGpuEqualsCpu) {
  ForEachCase(
      20, [](Random& random) { CompareWithCpu(random, {NmsMode::kLinear, NmsMode::kGaussian}); });
}

}  // namespace
}  // namespace mrcnn
