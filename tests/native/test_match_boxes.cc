#include "check.h"
#include "match_boxes.h"
#include "random_cases.h"
#include "reference.h"

namespace mrcnn {
namespace {

TEST(MatchBoxesEqualsReference) {
  ForEachCase(200, [](Random& random) {
    MatchBoxesOptions options;
    options.batch = random.Integer(0, 2);
    // Now and then more than one block of anchors that the kernel matches together.
    options.num_anchors = random.OneIn(50) ? random.Integer(250, 600) : random.Integer(0, 40);
    options.num_boxes = random.Integer(0, 6);
    options.shared_anchors = random.OneIn(2);
    options.high_threshold = random.OneOf<float>({0.0f, 0.3f, 0.5f, 0.7f, 1.0f});
    options.low_threshold = options.high_threshold * random.OneOf<float>({0.0f, 0.5f, 1.0f});
    options.allow_low_quality = random.OneIn(2);
    Array<float> anchors((options.shared_anchors ? 1 : options.batch) * options.num_anchors * 4);
    Array<float> boxes(options.batch * options.num_boxes * 4);
    Array<bool> valid(options.batch * options.num_boxes);
    Array<int32_t> matches(options.batch * options.num_anchors);
    FillBoxes(random, 64.0f, anchors);
    FillBoxes(random, 64.0f, boxes);
    for (int64_t i = 0; i < valid.size; ++i) valid[i] = !random.OneIn(4);

    MatchBoxesCpu(options, anchors.data, boxes.data, valid.data, matches.data, SomeThreads(random));

    for (int64_t image = 0; image < options.batch; ++image) {
      const int64_t skip = options.shared_anchors ? 0 : image * options.num_anchors * 4;
      const std::vector<int32_t> expected =
          ReferenceMatches(options, anchors.data + skip, boxes.data + image * options.num_boxes * 4,
                           valid.data + image * options.num_boxes);
      for (int64_t a = 0; a < options.num_anchors; ++a) {
        CHECK_EQ(matches[image * options.num_anchors + a], expected[a]);
      }
    }
  });
}

}  // namespace
}  // namespace mrcnn
