#include <algorithm>
#include <cmath>
#include <cstring>

#include "roi_align.h"
#include "simd.h"

namespace mrcnn {
namespace {

// The cells that each bin reads along one axis, and with what weight. Cells that several sampling
// points share are merged: a bin smaller than a cell reads 2 or 3 cells instead of 4.
class AxisTaps {
 public:
  // `low` and `high` are the edges of the box in cells of a map that has `size` of them.
  void Compute(float low, float high, int64_t size, int bins, const RoiAlignOptions& options) {
    first_.assign(1, 0);
    cells_.clear();
    weights_.clear();
    const float limit = static_cast<float>(size);
    if (options.aligned) {
      low -= 0.5f;
      high -= 0.5f;
    }
    float extent = high - low;
    if (!options.aligned) extent = std::max(extent, 1.0f);
    const float bin_size = extent / bins;
    float samples = static_cast<float>(options.sampling_ratio);
    if (options.sampling_ratio == 0) {
      // Bounded, so that one absurdly large box costs no more than twice its map.
      samples = std::max(std::ceil(std::min(extent, 2.0f * limit) / bins), 0.0f);
    }
    const float weight = 1.0f / std::max(samples, 1.0f);
    for (int bin = 0; bin < bins; ++bin) {
      const float start = low + static_cast<float>(bin) * bin_size;
      for (float sample = 0.0f; sample < samples; sample += 1.0f) {
        float at = start + (sample + 0.5f) * bin_size / samples;
        if (!(at >= -1.0f && at <= limit)) continue;  // a NaN stays outside as well
        at = std::min(std::max(at, 0.0f), limit - 1.0f);
        const float below = std::floor(at);
        Add(static_cast<int32_t>(below), weight * (1.0f - (at - below)));
        if (at > below) Add(static_cast<int32_t>(below) + 1, weight * (at - below));
      }
      first_.push_back(static_cast<int>(cells_.size()));
    }
  }

  int begin(int bin) const { return first_[bin]; }
  int end(int bin) const { return first_[bin + 1]; }
  int32_t cell(int tap) const { return cells_[tap]; }
  float weight(int tap) const { return weights_[tap]; }

 private:
  void Add(int32_t cell, float weight) {
    const int size = static_cast<int>(cells_.size());
    for (int i = size - 1; i >= std::max(first_.back(), size - 3); --i) {
      if (cells_[i] == cell) {
        weights_[i] += weight;
        return;
      }
    }
    cells_.push_back(cell);
    weights_.push_back(weight);
  }

  std::vector<int> first_;  // of each bin, in cells_
  std::vector<int32_t> cells_;
  std::vector<float> weights_;
};

// Where one box reads: its level and the taps along both axes.
class BoxTaps {
 public:
  // Returns false for a box that pools to 0 because a coordinate is not finite.
  bool Compute(const float* box, const RoiAlignOptions& options) {
    for (int i = 0; i < 4; ++i) {
      if (!std::isfinite(box[i])) return false;
    }
    const float area = std::max(box[2] - box[0], 0.0f) * std::max(box[3] - box[1], 0.0f);
    level_ = 0;
    for (size_t l = 1; l < options.levels.size(); ++l) {
      level_ += area >= options.levels[l].min_area;
    }
    const RoiAlignLevel& level = options.levels[level_];
    row_stride_ = level.width * options.channels;
    channels_ = options.channels;
    y_.Compute(box[1] * level.scale, box[3] * level.scale, level.height, options.output_height,
               options);
    x_.Compute(box[0] * level.scale, box[2] * level.scale, level.width, options.output_width,
               options);
    return true;
  }

  // Lists the taps of one bin as offsets into the map of its image.
  void Select(int bin_y, int bin_x) {
    offsets_.clear();
    weights_.clear();
    for (int y = y_.begin(bin_y); y < y_.end(bin_y); ++y) {
      const int64_t row = y_.cell(y) * row_stride_;
      for (int x = x_.begin(bin_x); x < x_.end(bin_x); ++x) {
        offsets_.push_back(row + x_.cell(x) * channels_);
        weights_.push_back(y_.weight(y) * x_.weight(x));
      }
    }
  }

  int level() const { return level_; }
  int size() const { return static_cast<int>(offsets_.size()); }
  const int64_t* offsets() const { return offsets_.data(); }
  const float* weights() const { return weights_.data(); }

 private:
  int level_ = 0;
  int64_t row_stride_ = 0;
  int64_t channels_ = 0;
  AxisTaps y_, x_;
  std::vector<int64_t> offsets_;
  std::vector<float> weights_;
};

constexpr int kAccumulators = 8;

// output[c] = sum over taps of weight * map[offset + c]. The sums of a block of channels stay in
// registers while the taps go by; left to itself the compiler stores and reloads them.
template <class S>
MRCNN_INLINE void Gather(const float* map, const BoxTaps& taps, int64_t channels, float* output) {
  using Float = typename S::Float;
  const int64_t* offsets = taps.offsets();
  const float* weights = taps.weights();
  const int num_taps = taps.size();
  int64_t c = 0;
  for (; c + kAccumulators * S::kLanes <= channels; c += kAccumulators * S::kLanes) {
    Float sums[kAccumulators] = {};
    for (int tap = 0; tap < num_taps; ++tap) {
      const float* cell = map + offsets[tap] + c;
      const Float weight = weights[tap] - Float{};
#pragma GCC unroll 8
      for (int i = 0; i < kAccumulators; ++i) {
        Float value;
        Load(cell + i * S::kLanes, value);
        sums[i] += weight * value;
      }
    }
#pragma GCC unroll 8
    for (int i = 0; i < kAccumulators; ++i) Store(sums[i], output + c + i * S::kLanes);
  }
  for (; c + S::kLanes <= channels; c += S::kLanes) {
    Float sum = {};
    for (int tap = 0; tap < num_taps; ++tap) {
      Float value;
      Load(map + offsets[tap] + c, value);
      sum += (weights[tap] - Float{}) * value;
    }
    Store(sum, output + c);
  }
  for (; c < channels; ++c) {
    float sum = 0.0f;
    for (int tap = 0; tap < num_taps; ++tap) sum += weights[tap] * map[offsets[tap] + c];
    output[c] = sum;
  }
}

// map[offset + c] += weight * gradient[c] for every tap and begin <= c < end.
template <class S>
MRCNN_INLINE void Scatter(const float* gradient, const BoxTaps& taps, int64_t begin, int64_t end,
                          float* map) {
  using Float = typename S::Float;
  const int64_t* offsets = taps.offsets();
  const float* weights = taps.weights();
  const int num_taps = taps.size();
  int64_t c = begin;
  for (; c + kAccumulators * S::kLanes <= end; c += kAccumulators * S::kLanes) {
    Float values[kAccumulators];
#pragma GCC unroll 8
    for (int i = 0; i < kAccumulators; ++i) Load(gradient + c + i * S::kLanes, values[i]);
    for (int tap = 0; tap < num_taps; ++tap) {
      float* cell = map + offsets[tap] + c;
      const Float weight = weights[tap] - Float{};
#pragma GCC unroll 8
      for (int i = 0; i < kAccumulators; ++i) {
        Float sum;
        Load(cell + i * S::kLanes, sum);
        sum += weight * values[i];
        Store(sum, cell + i * S::kLanes);
      }
    }
  }
  for (; c < end; ++c) {
    for (int tap = 0; tap < num_taps; ++tap) {
      map[offsets[tap] + c] += weights[tap] * gradient[c];
    }
  }
}

template <class S>
MRCNN_INLINE void PoolBox(const RoiAlignOptions& options, const float* map, BoxTaps& taps,
                          float* output) {
  for (int y = 0; y < options.output_height; ++y) {
    for (int x = 0; x < options.output_width; ++x) {
      taps.Select(y, x);
      Gather<S>(map, taps, options.channels, output);
      output += options.channels;
    }
  }
}

template <class S>
MRCNN_INLINE void SpreadBox(const RoiAlignOptions& options, const float* gradient, BoxTaps& taps,
                            int64_t begin, int64_t end, float* map) {
  for (int y = 0; y < options.output_height; ++y) {
    for (int x = 0; x < options.output_width; ++x) {
      taps.Select(y, x);
      Scatter<S>(gradient, taps, begin, end, map);
      gradient += options.channels;
    }
  }
}

void PoolBoxNarrow(const RoiAlignOptions& options, const float* map, BoxTaps& taps, float* output) {
  PoolBox<Narrow>(options, map, taps, output);
}

void SpreadBoxNarrow(const RoiAlignOptions& options, const float* gradient, BoxTaps& taps,
                     int64_t begin, int64_t end, float* map) {
  SpreadBox<Narrow>(options, gradient, taps, begin, end, map);
}

#if MRCNN_HAS_WIDE
MRCNN_TARGET_WIDE void PoolBoxWide(const RoiAlignOptions& options, const float* map, BoxTaps& taps,
                                   float* output) {
  PoolBox<Wide>(options, map, taps, output);
}

MRCNN_TARGET_WIDE void SpreadBoxWide(const RoiAlignOptions& options, const float* gradient,
                                     BoxTaps& taps, int64_t begin, int64_t end, float* map) {
  SpreadBox<Wide>(options, gradient, taps, begin, end, map);
}
#else
constexpr auto PoolBoxWide = PoolBoxNarrow;
constexpr auto SpreadBoxWide = SpreadBoxNarrow;
#endif

int64_t MapSize(const RoiAlignOptions& options, int level) {
  return options.levels[level].height * options.levels[level].width * options.channels;
}

}  // namespace

template <>
void RoiAlignCpu<float>(const RoiAlignOptions& options, const std::vector<const float*>& features,
                        const float* boxes, float* output, const ParallelFor& parallel_for) {
  const int64_t pooled_size =
      options.channels * options.output_height * static_cast<int64_t>(options.output_width);
  const int64_t total = options.batch * options.num_boxes;
  if (total == 0 || pooled_size == 0) return;
  const auto pool = UseWide() ? PoolBoxWide : PoolBoxNarrow;
  parallel_for.run(total, 4 * pooled_size, [&](int64_t begin, int64_t end) {
    BoxTaps taps;
    for (int64_t i = begin; i < end; ++i) {
      float* pooled = output + i * pooled_size;
      if (!taps.Compute(boxes + 4 * i, options)) {
        std::fill_n(pooled, pooled_size, 0.0f);
        continue;
      }
      const int64_t image = i / options.num_boxes;
      const float* map = features[taps.level()] + image * MapSize(options, taps.level());
      pool(options, map, taps, pooled);
    }
  });
}

template <>
void RoiAlignGradCpu<float>(const RoiAlignOptions& options, const float* output_gradient,
                            const float* boxes, const std::vector<float*>& feature_gradients,
                            const ParallelFor& parallel_for) {
  for (size_t l = 0; l < options.levels.size(); ++l) {
    const int64_t rows = options.batch * options.levels[l].height;
    const int64_t row_size = options.levels[l].width * options.channels;
    parallel_for.run(rows, row_size / 4, [&](int64_t begin, int64_t end) {
      std::fill_n(feature_gradients[l] + begin * row_size, (end - begin) * row_size, 0.0f);
    });
  }
  const int64_t pooled_size =
      options.channels * options.output_height * static_cast<int64_t>(options.output_width);
  if (options.batch * options.num_boxes == 0 || pooled_size == 0) return;

  // A block is at least a cache line wide, so that no two threads write to the same line.
  constexpr int64_t kLine = 16;
  const int64_t threads_per_image =
      std::max<int64_t>(1, (parallel_for.num_threads + options.batch - 1) / options.batch);
  const int64_t per_thread = (options.channels + threads_per_image - 1) / threads_per_image;
  const int64_t block = (per_thread + kLine - 1) / kLine * kLine;
  const int64_t num_blocks = (options.channels + block - 1) / block;
  const auto spread = UseWide() ? SpreadBoxWide : SpreadBoxNarrow;

  const int64_t cost = 4 * options.num_boxes * (pooled_size / options.channels) * block;
  parallel_for.run(options.batch * num_blocks, cost, [&](int64_t begin, int64_t end) {
    BoxTaps taps;
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t image = unit / num_blocks;
      const int64_t first_channel = unit % num_blocks * block;
      const int64_t last_channel = std::min(first_channel + block, options.channels);
      for (int64_t n = 0; n < options.num_boxes; ++n) {
        const int64_t i = image * options.num_boxes + n;
        if (!taps.Compute(boxes + 4 * i, options)) continue;
        float* map = feature_gradients[taps.level()] + image * MapSize(options, taps.level());
        spread(options, output_gradient + i * pooled_size, taps, first_channel, last_channel, map);
      }
    }
  });
}

}  // namespace mrcnn
