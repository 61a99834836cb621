#include "check.h"
#include "match_boxes.h"
#include "random_cases.h"

namespace mrcnn {
namespace {

TEST(MatchBoxesGpuEqualsCpu) {
  ForEachCase(200, [](Random& random) {
    MatchBoxesOptions options;
    options.batch = random.Integer(0, 2);
    options.num_anchors = random.Integer(0, 300);
    options.num_boxes = random.Integer(0, 6);
    options.shared_anchors = random.OneIn(2);
    options.high_threshold = random.OneOf<float>({0.0f, 0.3f, 0.5f, 0.7f, 1.0f});
    options.low_threshold = options.high_threshold * random.OneOf<float>({0.0f, 0.5f, 1.0f});
    options.allow_low_quality = random.OneIn(2);
    Array<float> anchors((options.shared_anchors ? 1 : options.batch) * options.num_anchors * 4);
    Array<float> boxes(options.batch * options.num_boxes * 4);
    Array<bool> valid(options.batch * options.num_boxes);
    Array<int32_t> on_cpu(options.batch * options.num_anchors);
    Array<int32_t> on_gpu(options.batch * options.num_anchors);
    Array<int32_t> workspace(MatchBoxesGpuWorkspace(options) / sizeof(int32_t));
    FillBoxes(random, 64.0f, anchors);
    FillBoxes(random, 64.0f, boxes);
    for (int64_t i = 0; i < valid.size; ++i) valid[i] = !random.OneIn(4);
    for (int64_t i = 0; i < workspace.size; ++i) workspace[i] = 0x7fffffff;

    MatchBoxesCpu(options, anchors.data, boxes.data, valid.data, on_cpu.data, OneThread());
    const GpuStatus error = MatchBoxesGpu(options, anchors.data, boxes.data, valid.data,
                                          on_gpu.data, workspace.data, nullptr);

    CHECK_EQ(error, "");
    for (int64_t i = 0; i < on_cpu.size; ++i) CHECK_EQ(on_gpu[i], on_cpu[i]);
  });
}

}  // namespace
}  // namespace mrcnn
