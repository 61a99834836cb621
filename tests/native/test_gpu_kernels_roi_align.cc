#include <memory>

#include "check.h"
#include "random_cases.h"
#include "roi_align.h"

namespace mrcnn {
namespace {

// The GPU in each element type against the CPU in float32 on the same numbers. `precision` is the
// relative step of the element type, by which the results may be rounded apart.
template <class Element>
void CompareWithCpu(Random& random, float precision) {
  RoiAlignOptions options;
  options.batch = random.Integer(0, 2);
  options.num_boxes = random.Integer(0, 4);
  options.channels = random.Integer(1, 5);
  options.output_height = random.Integer(1, 4);
  options.output_width = random.Integer(1, 4);
  options.sampling_ratio = random.Integer(0, 3);
  options.aligned = random.OneIn(2);
  std::vector<std::unique_ptr<Array<Element>>> maps, gradients;
  std::vector<std::unique_ptr<Array<float>>> wide_maps, wide_gradients;
  std::vector<const Element*> features;
  std::vector<Element*> feature_gradients;
  std::vector<const float*> wide_features;
  std::vector<float*> wide_feature_gradients;
  const int64_t num_levels = random.Integer(1, 3);
  for (int64_t l = 0; l < num_levels; ++l) {
    options.levels.push_back({random.Integer(1, 9), random.Integer(1, 9), 0.25f / (1 << l),
                              l == 0 ? 0.0f : 100.0f * (1 << 2 * l)});
    const int64_t size =
        options.batch * options.levels[l].height * options.levels[l].width * options.channels;
    maps.emplace_back(new Array<Element>(size));
    gradients.emplace_back(new Array<Element>(size));
    wide_maps.emplace_back(new Array<float>(size));
    wide_gradients.emplace_back(new Array<float>(size));
    for (int64_t i = 0; i < size; ++i) {
      (*maps[l])[i] = RoundTo<Element>(random.Uniform(-1.0f, 1.0f));
      (*wide_maps[l])[i] = Widen((*maps[l])[i]);
    }
    features.push_back(maps[l]->data);
    feature_gradients.push_back(gradients[l]->data);
    wide_features.push_back(wide_maps[l]->data);
    wide_feature_gradients.push_back(wide_gradients[l]->data);
  }
  Array<float> boxes(options.batch * options.num_boxes * 4);
  FillBoxes(random, 40.0f, boxes);
  const int64_t pooled = options.batch * options.num_boxes * options.output_height *
                         options.output_width * options.channels;
  Array<float> expected(pooled), wide_gradient(pooled);
  Array<Element> output(pooled), gradient(pooled);
  for (int64_t i = 0; i < pooled; ++i) {
    gradient[i] = RoundTo<Element>(random.Uniform(-1.0f, 1.0f));
    wide_gradient[i] = Widen(gradient[i]);
  }
  RoiAlignCpu<float>(options, wide_features, boxes.data, expected.data, OneThread());
  RoiAlignGradCpu<float>(options, wide_gradient.data, boxes.data, wide_feature_gradients,
                         OneThread());

  CHECK_EQ(RoiAlignGpu<Element>(options, features, boxes.data, output.data, nullptr), "");
  for (int64_t i = 0; i < pooled; ++i) {
    CHECK_NEAR(Widen(output[i]), expected[i], 1e-5 + precision * std::fabs(expected[i]));
  }
  Array<float> workspace(RoiAlignGradGpuWorkspace<Element>(options) / sizeof(float));
  for (const bool deterministic : {false, true}) {
    for (int64_t i = 0; i < workspace.size; ++i) workspace[i] = 7.0f;
    CHECK_EQ(RoiAlignGradGpu<Element>(options, gradient.data, boxes.data, feature_gradients,
                                      deterministic, workspace.data, nullptr),
             "");
    for (int64_t l = 0; l < num_levels; ++l) {
      for (int64_t i = 0; i < gradients[l]->size; ++i) {
        const float sum = (*wide_gradients[l])[i];
        CHECK_NEAR(Widen((*gradients[l])[i]), sum, 1e-4 + precision * std::fabs(sum));
      }
    }
  }
}

TEST(RoiAlignGpuEqualsCpu) {
  ForEachCase(100, [](Random& random) {
    CompareWithCpu<float>(random, 1e-5f);
    CompareWithCpu<Float16>(random, 0x1p-11f * 1.01f);
    CompareWithCpu<BFloat16>(random, 0x1p-8f * 1.01f);
  });
}

TEST(RoiAlignGpuNamesTooManyMaps) {
  RoiAlignOptions options = {};
  options.levels.resize(kMaxGpuLevels + 1);
  const std::vector<const float*> features(options.levels.size(), nullptr);
  const GpuStatus error = RoiAlignGpu<float>(options, features, nullptr, nullptr, nullptr);
  CHECK(error.find("at most 8 maps on the GPU, got 9") != std::string::npos);
}

}  // namespace
}  // namespace mrcnn
