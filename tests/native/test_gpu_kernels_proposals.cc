#include <cstring>
#include <memory>

#include "check.h"
#include "proposals.h"
#include "random_cases.h"

namespace mrcnn {
namespace {

struct ProposalCase {
  explicit ProposalCase(Random& random) {
    options.batch = random.Integer(0, 2);
    options.pre_nms_top_n = random.OneIn(3) ? random.Integer(1, 20) : random.Integer(50, 400);
    options.post_nms_top_n = random.OneIn(3) ? random.Integer(100, 500) : random.Integer(1, 60);
    options.nms_threshold = random.OneOf<float>({0.0f, 0.3f, 0.7f, 1.0f});
    options.min_size = random.OneOf<float>({0.0f, 1e-3f, 4.0f});
    const int64_t num_levels = random.Integer(1, 4), steps = random.OneOf<int64_t>({1, 8, 1000000});
    const float extent = random.OneOf<float>({50.0f, 800.0f});
    for (int64_t l = 0; l < num_levels; ++l) {
      const int64_t size = random.OneIn(3) ? random.Integer(0, 20) : random.Integer(20, 500);
      options.level_sizes.push_back(size);
      arrays.emplace_back(new Array<float>(options.batch * size));
      for (int64_t i = 0; i < arrays.back()->size; ++i) {
        const float step = std::floor(random.Uniform(0.0f, static_cast<float>(steps)));
        (*arrays.back())[i] = random.OneIn(20) ? random.Hostile() : step / 4.0f - 2.0f;
      }
      logits.push_back(arrays.back()->data);
      arrays.emplace_back(new Array<float>(options.batch * size * 4));
      const float scale = random.OneOf<float>({0.0f, 0.3f, 3.0f});
      for (int64_t i = 0; i < arrays.back()->size; ++i) {
        (*arrays.back())[i] = random.Coordinate(-scale, scale, 60);
      }
      deltas.push_back(arrays.back()->data);
      arrays.emplace_back(new Array<float>(size * 4));
      FillBoxes(random, extent, *arrays.back());
      anchors.push_back(arrays.back()->data);
    }
    arrays.emplace_back(new Array<float>(options.batch * 2));
    for (int64_t i = 0; i < arrays.back()->size; ++i) {
      (*arrays.back())[i] = random.Coordinate(0.5f * extent, extent, 40);
    }
    image_sizes = arrays.back()->data;
  }

  ProposalOptions options;
  std::vector<std::unique_ptr<Array<float>>> arrays;
  std::vector<const float*> logits, deltas, anchors;
  const float* image_sizes;
};

TEST(ProposalsGpuEqualsCpu) {
  ForEachCase(10, [](Random& random) {
    const ProposalCase rpn(random);
    const int64_t rows = rpn.options.batch * rpn.options.post_nms_top_n;
    Array<float> boxes(rows * 4), expected_boxes(rows * 4);
    Array<float> kept_logits(rows), expected_logits(rows);
    Array<int32_t> counts(rpn.options.batch), expected_counts(rpn.options.batch);
    Array<int32_t> workspace(
        static_cast<int64_t>(ProposalsGpuWorkspace(rpn.options) / sizeof(int32_t)));
    for (int64_t i = 0; i < workspace.size; ++i) workspace[i] = 0x7fffffff;
    for (int64_t i = 0; i < boxes.size; ++i) boxes[i] = -7.0f;

    ProposalsCpu(rpn.options, rpn.logits, rpn.deltas, rpn.anchors, rpn.image_sizes,
                 expected_boxes.data, expected_logits.data, expected_counts.data, OneThread());
    const GpuStatus error =
        ProposalsGpu(rpn.options, rpn.logits, rpn.deltas, rpn.anchors, rpn.image_sizes, boxes.data,
                     kept_logits.data, counts.data, workspace.data, nullptr);

    CHECK_EQ(error, "");
    for (int64_t i = 0; i < counts.size; ++i) CHECK_EQ(counts[i], expected_counts[i]);
    for (int64_t i = 0; i < rows; ++i) CHECK_EQ(kept_logits[i], expected_logits[i]);
    for (int64_t i = 0; i < boxes.size; ++i) CHECK_EQ(boxes[i], expected_boxes[i]);
  });
}

TEST(ProposalsGpuNamesTooManyLevels) {
  ProposalOptions options = {};
  options.level_sizes.resize(kMaxGpuProposalLevels + 1);
  const std::vector<const float*> none(options.level_sizes.size(), nullptr);
  const GpuStatus error =
      ProposalsGpu(options, none, none, none, nullptr, nullptr, nullptr, nullptr, nullptr, nullptr);
  CHECK(error.find("at most 8 levels on the GPU, got 9") != std::string::npos);
}

}  // namespace
}  // namespace mrcnn
