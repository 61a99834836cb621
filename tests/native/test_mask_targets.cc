#include <memory>

#include "check.h"
#include "mask_targets.h"
#include "random_cases.h"
#include "reference.h"

namespace mrcnn {
namespace {

// The samples of one bin along one axis, in pixels of the crop, those outside left out.
BinPoints SamplesOfBin(const MaskTargetsOptions& options, float roi_low, float roi_high, float low,
                       float high, int32_t extent, float limit, int bin) {
  const float covered = high - low;
  const float scale = covered == 0.0f ? 0.0f : static_cast<float>(extent) / covered;
  const float start = (roi_low - low) * scale - (options.aligned ? 0.5f : 0.0f);
  float length = (roi_high - roi_low) * scale;
  if (!options.aligned && length < 1.0f) length = 1.0f;
  const float bin_size = length / static_cast<float>(options.size);
  float samples = static_cast<float>(options.sampling_ratio);
  if (options.sampling_ratio == 0) {
    const float adapted = length < 16384.0f ? length : 16384.0f;
    samples = std::ceil(adapted / static_cast<float>(options.size));
    if (!(samples >= 1.0f)) samples = 1.0f;
  }
  BinPoints points{samples, {}};
  const float bin_start = start + static_cast<float>(bin) * bin_size;
  for (int i = 0; i < samples; ++i) {
    float at = bin_start + (static_cast<float>(i) + 0.5f) * bin_size / samples;
    if (options.at_borders && low <= 0.0f && at < 0.0f) at = 0.0f;
    const float last = static_cast<float>(extent) - 1.0f;
    if (options.at_borders && high >= limit && at > last) at = last;
    if (at > -1.0f && at < static_cast<float>(extent)) points.inside.push_back(at);
  }
  return points;
}

double PixelAt(const uint8_t* crop, int32_t height, int32_t width, int64_t row, int64_t column) {
  if (row < 0 || column < 0 || row >= height || column >= width) return 0.0;
  const int64_t bit = row * width + column;
  return crop[bit / 8] >> (7 - bit % 8) & 1;
}

double Bilinear(const uint8_t* crop, int32_t height, int32_t width, float y, float x) {
  const double row = std::floor(y), column = std::floor(x);
  const double dy = y - row, dx = x - column;
  const auto pixel = [&](int64_t down, int64_t right) {
    return PixelAt(crop, height, width, static_cast<int64_t>(row) + down,
                   static_cast<int64_t>(column) + right);
  };
  return (1.0 - dy) * ((1.0 - dx) * pixel(0, 0) + dx * pixel(0, 1)) +
         dy * ((1.0 - dx) * pixel(1, 0) + dx * pixel(1, 1));
}

struct Case {
  explicit Case(Random& random)
      : options{random.Integer(0, 2),
                0,
                random.Integer(1, 3),
                random.Integer(0, 4),
                static_cast<int>(random.Integer(1, 5)),
                static_cast<int>(random.Integer(0, 3)),
                random.OneIn(2),
                random.OneIn(2),
                random.OneIn(3)},
        shapes(options.batch * options.num_objects * 2),
        regions(options.batch * options.num_objects * 4),
        rois(options.batch * options.num_rois * 4),
        matches(options.batch * options.num_rois),
        image_sizes(options.batch * 2) {
    for (int64_t i = 0; i < shapes.size; ++i)
      shapes[i] = random.Integer(0, random.OneIn(4) ? 70 : 12);
    FillBoxes(random, 20.0f, regions);
    for (int64_t i = 0; i < regions.size; i += 4) {
      // Most of them at the resolution of the image, as masks are annotated.
      if (random.OneIn(3)) continue;
      regions[i] = static_cast<float>(random.Integer(0, 10));
      regions[i + 1] = static_cast<float>(random.Integer(0, 10));
      regions[i + 2] = regions[i] + static_cast<float>(shapes[i / 2 + 1]);
      regions[i + 3] = regions[i + 1] + static_cast<float>(shapes[i / 2]);
    }
    FillBoxes(random, 24.0f, rois);
    for (int64_t i = 0; i < matches.size; ++i) {
      matches[i] = static_cast<int32_t>(random.Integer(0, options.num_objects - 1));
    }
    for (int64_t i = 0; i < image_sizes.size; ++i) image_sizes[i] = random.Integer(5, 24);
    for (int64_t b = 0; b < options.batch; ++b) {
      options.num_bytes = std::max(options.num_bytes, OffsetOf(b, options.num_objects));
    }
    masks = std::make_unique<Array<uint8_t>>(options.batch * options.num_bytes);
    for (int64_t i = 0; i < masks->size; ++i) (*masks)[i] = random.Integer(0, 255);
  }

  int64_t OffsetOf(int64_t image, int64_t object) {
    int64_t offset = 0;
    for (int64_t i = 0; i < object; ++i) {
      const int32_t* shape = shapes.data + 2 * (image * options.num_objects + i);
      offset += (shape[0] * shape[1] + 7) / 8;
    }
    return offset;
  }

  std::string Run(Array<float>& targets, const ParallelFor& parallel_for) {
    return MaskTargetsCpu(options, masks->data, shapes.data, regions.data, rois.data, matches.data,
                          image_sizes.data, targets.data, parallel_for);
  }

  MaskTargetsOptions options;
  std::unique_ptr<Array<uint8_t>> masks;
  Array<int32_t> shapes;
  Array<float> regions, rois;
  Array<int32_t> matches, image_sizes;
};

TEST(MaskTargetsEqualReference) {
  ForEachCase(150, [](Random& random) {
    Case inputs(random);
    const MaskTargetsOptions& options = inputs.options;
    Array<float> targets(inputs.matches.size * options.size * options.size);
    for (int64_t i = 0; i < targets.size; ++i) targets[i] = 7.0f;
    CHECK_EQ(inputs.Run(targets, SomeThreads(random)), "");
    for (int64_t i = 0; i < inputs.matches.size; ++i) {
      const int64_t image = i / options.num_rois, object = inputs.matches[i];
      const float* roi = inputs.rois.data + 4 * i;
      const int64_t of_image = image * options.num_objects + object;
      const float* region = inputs.regions.data + 4 * of_image;
      const int32_t height = inputs.shapes[2 * of_image], width = inputs.shapes[2 * of_image + 1];
      const uint8_t* crop =
          inputs.masks->data + image * options.num_bytes + inputs.OffsetOf(image, object);
      const bool usable = AllFinite(roi, 4) && AllFinite(region, 4) && height > 0 && width > 0;
      for (int bin_y = 0; bin_y < options.size; ++bin_y) {
        for (int bin_x = 0; bin_x < options.size; ++bin_x) {
          double expected = 0.0;
          if (usable) {
            const BinPoints ys =
                SamplesOfBin(options, roi[1], roi[3], region[1], region[3], height,
                             static_cast<float>(inputs.image_sizes[2 * image]), bin_y);
            const BinPoints xs =
                SamplesOfBin(options, roi[0], roi[2], region[0], region[2], width,
                             static_cast<float>(inputs.image_sizes[2 * image + 1]), bin_x);
            for (const float y : ys.inside) {
              for (const float x : xs.inside) expected += Bilinear(crop, height, width, y, x);
            }
            expected /= static_cast<double>(ys.samples) * xs.samples;
          }
          const float actual = targets[(i * options.size + bin_y) * options.size + bin_x];
          if (!options.binary) {
            CHECK_NEAR(actual, expected, 2e-6);
          } else if (std::fabs(expected - (0.5 - 1e-5)) > 2e-6) {
            CHECK_EQ(actual, expected >= 0.5 - 1e-5 ? 1.0f : 0.0f);
          }
        }
      }
    }
  });
}

TEST(MaskTargetsRefuseWhatPointsBeyondTheMasks) {
  ForEachCase(20, [](Random& random) {
    Case inputs(random);
    Array<float> targets(inputs.matches.size * inputs.options.size * inputs.options.size);
    const int64_t kind = random.Integer(0, 2);
    Array<int32_t>& spoiled = kind == 0 ? inputs.matches : inputs.shapes;
    if (spoiled.size == 0) return;
    const int64_t at = random.Integer(0, spoiled.size - 1);
    if (kind == 0) {
      spoiled[at] = random.OneOf<int32_t>({-1, INT32_MIN, INT32_MAX, 3});
    } else if (kind == 1) {
      spoiled[at] = random.OneOf<int32_t>({-1, INT32_MIN});
    } else {
      spoiled[at] = spoiled[at ^ 1] = INT32_MAX;
    }
    CHECK(!inputs.Run(targets, OneThread()).empty());
  });
}

}  // namespace
}  // namespace mrcnn
