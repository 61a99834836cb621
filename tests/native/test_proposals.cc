#include <memory>

#include "check.h"
#include "proposals.h"
#include "random_cases.h"
#include "reference.h"

namespace mrcnn {
namespace {

struct ProposalsCase {
  explicit ProposalsCase(Random& random)
      : options{random.Integer(0, 2),
                {},
                random.OneIn(4) ? random.Integer(1, 5) : random.Integer(1, 60),
                random.Integer(1, 40),
                random.OneOf<float>({0.0f, 0.3f, 0.7f, 1.0f}),
                random.OneOf<float>({0.0f, 1e-3f, 4.0f})},
        image_sizes(options.batch * 2),
        boxes(options.batch * options.post_nms_top_n * 4),
        kept_logits(options.batch * options.post_nms_top_n),
        counts(options.batch) {
    const int64_t levels = random.Integer(1, 3);
    const bool ties = random.OneIn(2), still = random.OneIn(2);
    // A few cases have enough anchors for the selection by a sample of the scores.
    const int64_t most = random.OneIn(300) ? 20000 : random.OneIn(50) ? 300 : 24;
    for (int64_t l = 0; l < levels; ++l) {
      const int64_t size = random.Integer(0, l == 0 ? most : 24);
      options.level_sizes.push_back(size);
      logits.emplace_back(new Array<float>(options.batch * size));
      deltas.emplace_back(new Array<float>(options.batch * size * 4));
      anchors.emplace_back(new Array<float>(size * 4));
      FillBoxes(random, 64.0f, *anchors.back());
      for (int64_t i = 0; i < logits.back()->size; ++i) {
        (*logits.back())[i] =
            ties ? static_cast<float>(random.Integer(-3, 3)) : random.Coordinate(-8.0f, 8.0f, 20);
      }
      for (int64_t i = 0; i < deltas.back()->size; ++i) {
        (*deltas.back())[i] = still ? 0.0f : random.Coordinate(-1.0f, 1.0f, 60);
      }
    }
    for (int64_t i = 0; i < image_sizes.size; ++i) image_sizes[i] = random.Uniform(16.0f, 80.0f);
    std::fill_n(boxes.data, boxes.size, -7.0f);
    std::fill_n(kept_logits.data, kept_logits.size, -7.0f);
  }

  void Run(const ParallelFor& parallel_for) {
    ProposalsCpu(options, Pointers(logits), Pointers(deltas), Pointers(anchors), image_sizes.data,
                 boxes.data, kept_logits.data, counts.data, parallel_for);
  }

  using Arrays = std::vector<std::unique_ptr<Array<float>>>;

  static std::vector<const float*> Pointers(const Arrays& arrays) {
    std::vector<const float*> pointers;
    for (const auto& array : arrays) pointers.push_back(array->data);
    return pointers;
  }

  ProposalOptions options;
  Arrays logits, deltas, anchors;
  Array<float> image_sizes, boxes, kept_logits;
  Array<int32_t> counts;
};

TEST(ProposalsEqualReference) {
  ForEachCase(150, [](Random& random) {
    ProposalsCase proposals(random);
    proposals.Run(SomeThreads(random));
    const int64_t rows = proposals.options.post_nms_top_n;
    for (int64_t image = 0; image < proposals.options.batch; ++image) {
      const std::vector<ReferenceProposal> expected = ReferenceProposals(
          proposals.options, image, ProposalsCase::Pointers(proposals.logits),
          ProposalsCase::Pointers(proposals.deltas), ProposalsCase::Pointers(proposals.anchors),
          proposals.image_sizes.data + 2 * image);
      const int64_t count = proposals.counts[image];
      CHECK_EQ(count, static_cast<int64_t>(expected.size()));
      for (int64_t i = 0; i < rows; ++i) {
        const float* box = proposals.boxes.data + (image * rows + i) * 4;
        const float logit = proposals.kept_logits[image * rows + i];
        CHECK_EQ(logit, i < count ? expected[i].logit : -INFINITY);
        for (int axis = 0; axis < 4; ++axis) {
          CHECK_EQ(box[axis], i < count ? expected[i].box[axis] : 0.0f);
        }
      }
    }
  });
}

}  // namespace
}  // namespace mrcnn
