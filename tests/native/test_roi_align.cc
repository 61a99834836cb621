#include <cstring>
#include <memory>

#include "check.h"
#include "random_cases.h"
#include "reference.h"
#include "roi_align.h"

namespace mrcnn {
namespace {

// Unit roundoff: what the one rounding to Element may be off by, relative to the result.
template <class Element>
constexpr double kRounding = 0x1p-24;
template <>
constexpr double kRounding<Float16> = 0x1p-11;
template <>
constexpr double kRounding<BFloat16> = 0x1p-8;

// Below this the steps of Element no longer shrink with the number.
template <class Element>
constexpr double kSmallestStep = std::is_same<Element, Float16>::value ? 0x1p-24 : 1e-38;

RoiAlignOptions RandomOptions(Random& random) {
  RoiAlignOptions options;
  options.batch = random.Integer(0, 2);
  options.num_boxes = random.Integer(0, 4);
  options.channels = random.OneOf<int64_t>({0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 17, 33, 65});
  options.output_height = static_cast<int>(random.Integer(1, 4));
  options.output_width = static_cast<int>(random.Integer(1, 4));
  options.sampling_ratio = static_cast<int>(random.Integer(0, 3));
  options.aligned = random.OneIn(2);
  const int64_t num_levels = random.Integer(1, 3);
  for (int64_t l = 0; l < num_levels; ++l) {
    options.levels.push_back({random.Integer(1, 9), random.Integer(1, 9),
                              1.0f / static_cast<float>(int64_t{4} << l),
                              l == 0 ? 0.0f : static_cast<float>(256 << 2 * l)});
  }
  return options;
}

template <class Element>
struct Maps {
  explicit Maps(const RoiAlignOptions& options) {
    for (const RoiAlignLevel& level : options.levels) {
      arrays.push_back(std::make_unique<Array<Element>>(options.batch * level.height * level.width *
                                                        options.channels));
      pointers.push_back(arrays.back()->data);
    }
  }

  std::vector<const Element*> constant() const { return {pointers.begin(), pointers.end()}; }

  std::vector<std::unique_ptr<Array<Element>>> arrays;
  std::vector<Element*> pointers;
};

template <class Element>
void FillValues(Random& random, Array<Element>& values) {
  for (int64_t i = 0; i < values.size; ++i) {
    values[i] = RoundTo<Element>(random.Uniform(-1.0f, 1.0f));
  }
}

int64_t Cell(const RoiAlignOptions& options, size_t level, int64_t image, int64_t row,
             int64_t column) {
  const RoiAlignLevel& map = options.levels[level];
  return ((image * map.height + row) * map.width + column) * options.channels;
}

template <class Element>
void CheckSums(const Array<Element>& actual, const std::vector<double>& expected,
               const std::vector<double>& magnitudes) {
  for (int64_t i = 0; i < actual.size; ++i) {
    const double tolerance =
        2e-6 * magnitudes[i] + kRounding<Element> * std::fabs(expected[i]) + kSmallestStep<Element>;
    CHECK_NEAR(Widen(actual.data[i]), expected[i], 1.01 * tolerance);
  }
}

template <class Element>
void CheckForward(Random& random) {
  const RoiAlignOptions options = RandomOptions(random);
  Maps<Element> features(options);
  for (auto& map : features.arrays) FillValues(random, *map);
  Array<float> boxes(options.batch * options.num_boxes * 4);
  FillBoxes(random, 48.0f, boxes);
  Array<Element> output(options.batch * options.num_boxes * options.output_height *
                        options.output_width * options.channels);
  FillValues(random, output);

  RoiAlignCpu<Element>(options, features.constant(), boxes.data, output.data, SomeThreads(random));

  std::vector<double> expected(output.size), magnitudes(output.size);
  ReferenceRoiTaps(
      options, boxes.data,
      [&](size_t level, int64_t image, int64_t row, int64_t column, int64_t bin, double weight) {
        const int64_t cell = Cell(options, level, image, row, column);
        for (int64_t c = 0; c < options.channels; ++c) {
          const double term = weight * Widen(features.pointers[level][cell + c]);
          expected[bin * options.channels + c] += term;
          magnitudes[bin * options.channels + c] += std::fabs(term);
        }
      });
  CheckSums(output, expected, magnitudes);
}

template <class Element>
void CheckGradient(Random& random) {
  const RoiAlignOptions options = RandomOptions(random);
  Array<float> boxes(options.batch * options.num_boxes * 4);
  FillBoxes(random, 48.0f, boxes);
  Array<Element> gradient(options.batch * options.num_boxes * options.output_height *
                          options.output_width * options.channels);
  FillValues(random, gradient);
  Maps<Element> actual(options);
  for (auto& map : actual.arrays) FillValues(random, *map);

  RoiAlignGradCpu<Element>(options, gradient.data, boxes.data, actual.pointers, OneThread());

  std::vector<std::vector<double>> expected, magnitudes;
  for (const auto& map : actual.arrays) {
    expected.emplace_back(map->size);
    magnitudes.emplace_back(map->size);
  }
  ReferenceRoiTaps(
      options, boxes.data,
      [&](size_t level, int64_t image, int64_t row, int64_t column, int64_t bin, double weight) {
        const int64_t cell = Cell(options, level, image, row, column);
        for (int64_t c = 0; c < options.channels; ++c) {
          const double term = weight * Widen(gradient[bin * options.channels + c]);
          expected[level][cell + c] += term;
          magnitudes[level][cell + c] += std::fabs(term);
        }
      });
  for (size_t l = 0; l < expected.size(); ++l) {
    CheckSums(*actual.arrays[l], expected[l], magnitudes[l]);
  }

  if (!random.OneIn(8)) return;
  Maps<Element> threaded(options);
  for (auto& map : threaded.arrays) FillValues(random, *map);
  RoiAlignGradCpu<Element>(options, gradient.data, boxes.data, threaded.pointers, ThreeThreads());
  for (size_t l = 0; l < expected.size(); ++l) {
    const int64_t bytes = actual.arrays[l]->size * static_cast<int64_t>(sizeof(Element));
    CHECK_EQ(std::memcmp(actual.pointers[l], threaded.pointers[l], bytes), 0);
  }
}

TEST(RoiAlignEqualsReference) {
  ForEachCase(240, CheckForward<float>);
  ForEachCase(120, CheckForward<Float16>);
  ForEachCase(120, CheckForward<BFloat16>);
}

TEST(RoiAlignGradEqualsReference) {
  ForEachCase(160, CheckGradient<float>);
  ForEachCase(80, CheckGradient<Float16>);
  ForEachCase(80, CheckGradient<BFloat16>);
}

}  // namespace
}  // namespace mrcnn
