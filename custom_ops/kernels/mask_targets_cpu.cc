#include <algorithm>
#include <cmath>
#include <vector>

#include "mask_targets.h"
#include "roi_align_math.h"
#include "simd.h"

namespace mrcnn {
namespace {

// The longest RoI in pixels of a crop that adaptive sampling is still adapted to.
constexpr float kLongestRoi = 16384.0f;
// A bin that is half covered is set, whichever way the sum of its samples was rounded.
constexpr float kHalf = 0.5f - 1e-5f;

struct Crop {
  const uint8_t* bits;
  int32_t height, width;
  const float* region;
};

// The pixels of a crop that each bin reads along one axis, and with what weight.
class CropTaps {
 public:
  // `roi` and `region` are the lower and the upper edge, `extent` the pixels of the crop and
  // `limit` the edge of the image; all along the axis.
  void Compute(const MaskTargetsOptions& options, const float roi[2], const float region[2],
               int32_t extent, float limit) {
    first_.assign(1, 0);
    cells_.clear();
    weights_.clear();
    const float covered = region[1] - region[0];
    const float scale = covered == 0.0f ? 0.0f : static_cast<float>(extent) / covered;
    const float start = (roi[0] - region[0]) * scale - (options.aligned ? 0.5f : 0.0f);
    float length = (roi[1] - roi[0]) * scale;
    if (!options.aligned && length < 1.0f) length = 1.0f;
    const float bin_size = length / static_cast<float>(options.size);
    float samples = static_cast<float>(options.sampling_ratio);
    if (options.sampling_ratio == 0) {
      const float adapted = length < kLongestRoi ? length : kLongestRoi;
      samples = std::ceil(adapted / static_cast<float>(options.size));
      if (!(samples >= 1.0f)) samples = 1.0f;
    }
    const bool from_border = options.at_borders && region[0] <= 0.0f;
    const bool to_border = options.at_borders && region[1] >= limit;
    const float last = static_cast<float>(extent) - 1.0f;
    const double weight = 1.0 / samples;
    for (int bin = 0; bin < options.size; ++bin) {
      const float bin_start = start + static_cast<float>(bin) * bin_size;
      for (float sample = 0.0f; sample < samples; sample += 1.0f) {
        float at = bin_start + (sample + 0.5f) * bin_size / samples;
        if (from_border && at < 0.0f) at = 0.0f;
        if (to_border && at > last) at = last;
        if (!(at > -1.0f && at < static_cast<float>(extent))) continue;  // a NaN is outside
        const float below = std::floor(at);
        const int32_t cell = static_cast<int32_t>(below);
        const float part = at - below;
        if (cell >= 0) Add(cell, weight * (1.0f - part));
        if (cell + 1 < extent) Add(cell + 1, weight * part);
      }
      first_.push_back(static_cast<int>(cells_.size()));
    }
  }

  int begin(int bin) const { return first_[bin]; }
  int end(int bin) const { return first_[bin + 1]; }
  int32_t cell(int tap) const { return cells_[tap]; }
  float weight(int tap) const { return static_cast<float>(weights_[tap]); }
  const std::vector<int32_t>& cells() const { return cells_; }

 private:
  void Add(int32_t cell, double weight) {
    if (weight == 0.0) return;
    const int size = static_cast<int>(cells_.size());
    for (int i = size - 1; i >= std::max(first_.back(), size - 2); --i) {
      if (cells_[i] == cell) {
        weights_[i] += weight;
        return;
      }
    }
    cells_.push_back(cell);
    weights_.push_back(weight);
  }

  std::vector<int> first_;
  std::vector<int32_t> cells_;
  // Thousands of samples may fall on one pixel at the border of an image.
  std::vector<double> weights_;
};

// Eight pixels of a byte as numbers.
struct Pixels {
  float of[256][8];
};

const Pixels& AllPixels() {
  static const Pixels pixels = [] {
    Pixels made;
    for (int byte = 0; byte < 256; ++byte) {
      for (int i = 0; i < 8; ++i) made.of[byte][i] = static_cast<float>(byte >> (7 - i) & 1);
    }
    return made;
  }();
  return pixels;
}

// Pools one RoI. The rows of the crop that a row of bins reads are summed into one, eight pixels at
// a time, and that is pooled along x.
class Pooler {
 public:
  explicit Pooler(const MaskTargetsOptions& options) : options_(options), pixels_(AllPixels()) {}

  void Pool(const Crop& crop, const float* roi, const int32_t* image_size, float* target) {
    const int64_t size = options_.size;
    std::fill_n(target, size * size, 0.0f);
    if (crop.height == 0 || crop.width == 0) return;
    if (!IsFiniteBox(roi) || !IsFiniteBox(crop.region)) return;
    for (int axis = 0; axis < 2; ++axis) {
      const float edges[2] = {roi[axis], roi[axis + 2]};
      const float region[2] = {crop.region[axis], crop.region[axis + 2]};
      const float limit = options_.at_borders ? static_cast<float>(image_size[1 - axis]) : 0.0f;
      (axis == 0 ? x_ : y_)
          .Compute(options_, edges, region, axis == 0 ? crop.width : crop.height, limit);
    }
    if (y_.cells().empty() || x_.cells().empty()) return;
    const auto [left, right] = std::minmax_element(x_.cells().begin(), x_.cells().end());
    for (int bin_y = 0; bin_y < size; ++bin_y) {
      if (y_.begin(bin_y) == y_.end(bin_y)) continue;
      sum_.assign((*right - *left) / 8 * 8 + 8, 0.0f);
      for (int tap = y_.begin(bin_y); tap < y_.end(bin_y); ++tap) {
        AddRow(crop, y_.cell(tap), *left, *right, y_.weight(tap));
      }
      for (int bin_x = 0; bin_x < size; ++bin_x) {
        float pooled = 0.0f;
        for (int tap = x_.begin(bin_x); tap < x_.end(bin_x); ++tap) {
          pooled += x_.weight(tap) * sum_[x_.cell(tap) - *left];
        }
        target[bin_y * size + bin_x] = pooled;
      }
    }
    if (!options_.binary) return;
    for (int64_t i = 0; i < size * size; ++i) target[i] = target[i] >= kHalf ? 1.0f : 0.0f;
  }

 private:
  // Adds the pixels `left` to `right` of a row, and what follows them in their last eight.
  void AddRow(const Crop& crop, int32_t row, int32_t left, int32_t right, float weight) {
    const int64_t first = static_cast<int64_t>(row) * crop.width + left;
    const int shift = static_cast<int>(first & 7);
    const uint8_t* byte = crop.bits + (first >> 3);
    const uint8_t* last = crop.bits + ((first + right - left) >> 3);
    for (float* sum = sum_.data(); sum < sum_.data() + sum_.size(); sum += 8, ++byte) {
      int eight = *byte << shift;
      if (byte < last) eight |= byte[1] >> (8 - shift);
      eight &= 255;
      if (eight == 0) continue;
      for (int half = 0; half < 8; half += Narrow::kLanes) {
        Narrow::Float pixels, total;
        Load(pixels_.of[eight] + half, pixels);
        Load(sum + half, total);
        Store(total + weight * pixels, sum + half);
      }
    }
  }

  const MaskTargetsOptions& options_;
  const Pixels& pixels_;
  CropTaps x_, y_;
  std::vector<float> sum_;  // of the rows that a row of bins reads
};

// Where the crops of one image lie.
std::string FindCrops(const MaskTargetsOptions& options, const uint8_t* masks,
                      const int32_t* shapes, const float* regions, Crop* crops) {
  int64_t offset = 0;
  for (int64_t i = 0; i < options.num_objects; ++i) {
    const int32_t height = shapes[2 * i], width = shapes[2 * i + 1];
    if (height < 0 || width < 0) {
      return "mask_shapes must not be negative, got " + std::to_string(height) + " x " +
             std::to_string(width);
    }
    crops[i] = {masks + offset, height, width, regions + 4 * i};
    const int64_t bytes = (static_cast<int64_t>(height) * width + 7) / 8;
    if (bytes > options.num_bytes - offset) {
      return "masks must hold every crop that mask_shapes tell, and end after " +
             std::to_string(options.num_bytes) + " bytes, inside crop " + std::to_string(i);
    }
    offset += bytes;
  }
  return {};
}

}  // namespace

std::string MaskTargetsCpu(const MaskTargetsOptions& options, const uint8_t* masks,
                           const int32_t* shapes, const float* regions, const float* rois,
                           const int32_t* matches, const int32_t* image_sizes, float* targets,
                           const ParallelFor& parallel_for) {
  const int64_t objects = options.num_objects, total = options.batch * options.num_rois;
  std::vector<Crop> crops(options.batch * objects);
  for (int64_t b = 0; b < options.batch; ++b) {
    const std::string error =
        FindCrops(options, masks + b * options.num_bytes, shapes + 2 * b * objects,
                  regions + 4 * b * objects, crops.data() + b * objects);
    if (!error.empty()) return error;
  }
  for (int64_t i = 0; i < total; ++i) {
    if (matches[i] < 0 || matches[i] >= objects) {
      return "matches must be below the number of objects, " + std::to_string(objects) +
             ", and not negative, got " + std::to_string(matches[i]);
    }
  }
  const int64_t pixels = static_cast<int64_t>(options.size) * options.size;
  parallel_for.run(total, 50 * pixels, [&](int64_t begin, int64_t end) {
    Pooler pooler(options);
    for (int64_t i = begin; i < end; ++i) {
      const int64_t image = i / options.num_rois;
      pooler.Pool(crops[image * objects + matches[i]], rois + 4 * i, image_sizes + 2 * image,
                  targets + i * pixels);
    }
  });
  return {};
}

}  // namespace mrcnn
