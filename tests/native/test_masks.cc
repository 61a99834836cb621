#include "check.h"
#include "paste_masks.h"
#include "random_cases.h"
#include "reference.h"

namespace mrcnn {
namespace {

// How much each cell of a mask counts at a pixel along one axis: all of them, most often 0.
std::vector<double> CellWeights(float low, float high, int64_t pixel, int64_t cells) {
  std::vector<double> weights(cells, 0.0);
  const float extent = high - low;
  if (!(extent > 0.0f) || !std::isfinite(extent)) return weights;
  const float along = (static_cast<float>(pixel) + 0.5f - low) / extent * 2.0f - 1.0f;
  const float at = ((along + 1.0f) * static_cast<float>(cells) - 1.0f) / 2.0f;
  for (int64_t i = 0; i < cells; ++i) {
    weights[i] = std::max(1.0 - std::fabs(at - static_cast<double>(i)), 0.0);
  }
  return weights;
}

TEST(PasteMasksEqualsReference) {
  ForEachCase(100, [](Random& random) {
    const PasteMasksOptions options{
        random.Integer(0, 3),  random.Integer(1, 7),
        random.Integer(1, 7),  random.OneIn(20) ? random.Integer(60, 140) : random.Integer(0, 20),
        random.Integer(0, 20), random.OneOf<float>({0.05f, 0.5f, 0.9f})};
    Array<float> masks(options.num_masks * options.mask_height * options.mask_width);
    Array<float> boxes(options.num_masks * 4);
    Array<uint8_t> output(options.num_masks * options.height * options.width);
    for (int64_t i = 0; i < masks.size; ++i) masks[i] = random.Coordinate(0.0f, 1.0f, 40);
    for (int64_t i = 0; i < output.size; ++i) output[i] = 7;
    FillBoxes(random, 20.0f, boxes);

    PasteMasksCpu(options, masks.data, boxes.data, output.data, SomeThreads(random));

    for (int64_t n = 0; n < options.num_masks; ++n) {
      const float* box = boxes.data + 4 * n;
      for (int64_t y = 0; y < options.height; ++y) {
        for (int64_t x = 0; x < options.width; ++x) {
          double value = 0.0, magnitude = 0.0;
          if (AllFinite(box, 4)) {
            const std::vector<double> down = CellWeights(box[1], box[3], y, options.mask_height);
            const std::vector<double> across = CellWeights(box[0], box[2], x, options.mask_width);
            for (int64_t r = 0; r < options.mask_height; ++r) {
              for (int64_t c = 0; c < options.mask_width; ++c) {
                const float p = masks[(n * options.mask_height + r) * options.mask_width + c];
                if (!std::isfinite(p)) continue;
                value += down[r] * across[c] * p;
                magnitude += std::fabs(down[r] * across[c] * p);
              }
            }
          }
          const int pixel = output[(n * options.height + y) * options.width + x];
          CHECK(pixel == 0 || pixel == 1);
          // At the threshold itself rounding may fall either way.
          if (std::fabs(value - options.threshold) <= 2e-6 * (1.0 + magnitude)) continue;
          CHECK_EQ(pixel, value >= options.threshold ? 1 : 0);
        }
      }
    }
  });
}

}  // namespace
}  // namespace mrcnn
