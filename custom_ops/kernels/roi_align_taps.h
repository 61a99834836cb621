// The cells that the bins of a box read or, in the backward pass, write. For the CPU.
#ifndef MRCNN_KERNELS_ROI_ALIGN_TAPS_H_
#define MRCNN_KERNELS_ROI_ALIGN_TAPS_H_

#include <algorithm>
#include <cstdint>
#include <vector>

#include "roi_align.h"
#include "roi_align_math.h"

namespace mrcnn {

// The cells that each bin reads along one axis, and with what weight. Cells that several sampling
// points share are merged: a bin smaller than a cell reads 2 or 3 cells instead of 4.
class AxisTaps {
 public:
  void Compute(const SampledAxis& axis, int bins) {
    first_.assign(1, 0);
    cells_.clear();
    weights_.clear();
    for (int bin = 0; bin < bins; ++bin) {
      for (float sample = 0.0f; sample < axis.samples; sample += 1.0f) {
        const AxisSample at = SampleAt(axis, bin, sample);
        if (!at.inside) continue;
        Add(at.low, at.low_weight);
        if (at.high != at.low) Add(at.high, at.high_weight);
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
  explicit BoxTaps(const RoiAlignOptions& options) : options_(options) {
    for (const RoiAlignLevel& level : options.levels) min_areas_.push_back(level.min_area);
  }

  // Returns false for a box that pools to 0 because a coordinate is not finite.
  bool Compute(const float* box) {
    if (!IsFiniteBox(box)) return false;
    level_ = LevelOfBox(box, min_areas_.data(), static_cast<int>(min_areas_.size()));
    const RoiAlignLevel& level = options_.levels[level_];
    row_stride_ = level.width * options_.channels;
    y_.Compute(SampleAxis(box[1] * level.scale, box[3] * level.scale, level.height,
                          options_.output_height, options_.sampling_ratio, options_.aligned),
               options_.output_height);
    x_.Compute(SampleAxis(box[0] * level.scale, box[2] * level.scale, level.width,
                          options_.output_width, options_.sampling_ratio, options_.aligned),
               options_.output_width);
    return true;
  }

  // Lists the taps of one bin as offsets into the map of its image.
  void Select(int bin_y, int bin_x) {
    offsets_.clear();
    weights_.clear();
    for (int y = y_.begin(bin_y); y < y_.end(bin_y); ++y) {
      const int64_t row = y_.cell(y) * row_stride_;
      for (int x = x_.begin(bin_x); x < x_.end(bin_x); ++x) {
        offsets_.push_back(row + x_.cell(x) * options_.channels);
        weights_.push_back(y_.weight(y) * x_.weight(x));
      }
    }
  }

  int level() const { return level_; }
  int size() const { return static_cast<int>(offsets_.size()); }
  const int64_t* offsets() const { return offsets_.data(); }
  const float* weights() const { return weights_.data(); }

 private:
  const RoiAlignOptions& options_;
  std::vector<float> min_areas_;
  int level_ = 0;
  int64_t row_stride_ = 0;
  AxisTaps y_, x_;
  std::vector<int64_t> offsets_;
  std::vector<float> weights_;
};

// Numbers in the map of one image.
inline int64_t MapSize(const RoiAlignOptions& options, size_t level) {
  return options.levels[level].height * options.levels[level].width * options.channels;
}

// Numbers that are pooled from one box.
inline int64_t PooledSize(const RoiAlignOptions& options) {
  return options.channels * options.output_height * options.output_width;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_ROI_ALIGN_TAPS_H_
