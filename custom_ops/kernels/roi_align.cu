#include "gpu_launch.h"
#include "roi_align.h"
#include "roi_align_math.h"

namespace mrcnn {
namespace {

// RoiAlignOptions as kernels can take them.
struct Pooling {
  int64_t batch, num_boxes, channels;
  int output_height, output_width, sampling_ratio, num_levels;
  bool aligned;
  int64_t height[kMaxGpuLevels], width[kMaxGpuLevels];
  float scale[kMaxGpuLevels], min_area[kMaxGpuLevels];
};

template <class Element>
struct Maps {
  Element* data[kMaxGpuLevels];
};

Pooling MakePooling(const RoiAlignOptions& options) {
  Pooling pooling = {};
  pooling.batch = options.batch;
  pooling.num_boxes = options.num_boxes;
  pooling.channels = options.channels;
  pooling.output_height = options.output_height;
  pooling.output_width = options.output_width;
  pooling.sampling_ratio = options.sampling_ratio;
  pooling.num_levels = static_cast<int>(options.levels.size());
  pooling.aligned = options.aligned;
  for (int l = 0; l < pooling.num_levels; ++l) {
    pooling.height[l] = options.levels[l].height;
    pooling.width[l] = options.levels[l].width;
    pooling.scale[l] = options.levels[l].scale;
    pooling.min_area[l] = options.levels[l].min_area;
  }
  return pooling;
}

int64_t MapSize(const RoiAlignOptions& options, size_t level) {
  return options.batch * options.levels[level].height * options.levels[level].width *
         options.channels;
}

int64_t PooledSize(const RoiAlignOptions& options) {
  return options.batch * options.num_boxes * options.output_height * options.output_width *
         options.channels;
}

GpuStatus CheckLevels(const RoiAlignOptions& options) {
  if (options.levels.size() <= kMaxGpuLevels) return {};
  return "RoIAlign takes at most " + std::to_string(kMaxGpuLevels) + " maps on the GPU, got " +
         std::to_string(options.levels.size());
}

__device__ inline SampledAxis AxisY(const Pooling& pooling, const float* box, int level) {
  const float scale = pooling.scale[level];
  return SampleAxis(box[1] * scale, box[3] * scale, pooling.height[level], pooling.output_height,
                    pooling.sampling_ratio, pooling.aligned);
}

__device__ inline SampledAxis AxisX(const Pooling& pooling, const float* box, int level) {
  const float scale = pooling.scale[level];
  return SampleAxis(box[0] * scale, box[2] * scale, pooling.width[level], pooling.output_width,
                    pooling.sampling_ratio, pooling.aligned);
}

// What one number of the pooled output belongs to. Neighbouring threads have neighbouring channels,
// so that what they read and write is contiguous.
struct Place {
  int64_t channel, box;
  int bin_x, bin_y;
};

__device__ inline Place PlaceOf(const Pooling& pooling, int64_t item) {
  Place place;
  place.channel = item % pooling.channels;
  item /= pooling.channels;
  place.bin_x = static_cast<int>(item % pooling.output_width);
  item /= pooling.output_width;
  place.bin_y = static_cast<int>(item % pooling.output_height);
  place.box = item / pooling.output_height;
  return place;
}

// Calls visit(offset, weight) for every cell that a bin reads in the map of its level.
template <class Visit>
__device__ inline void VisitCells(const Pooling& pooling, const Place& place, const float* box,
                                  int level, const Visit& visit) {
  const SampledAxis axis_y = AxisY(pooling, box, level);
  const SampledAxis axis_x = AxisX(pooling, box, level);
  const int64_t first_row = place.box / pooling.num_boxes * pooling.height[level];
  for (float sample_y = 0.0f; sample_y < axis_y.samples; sample_y += 1.0f) {
    const AxisSample y = SampleAt(axis_y, place.bin_y, sample_y);
    if (!y.inside) continue;
    const int64_t low = (first_row + y.low) * pooling.width[level];
    const int64_t high = (first_row + y.high) * pooling.width[level];
    for (float sample_x = 0.0f; sample_x < axis_x.samples; sample_x += 1.0f) {
      const AxisSample x = SampleAt(axis_x, place.bin_x, sample_x);
      if (!x.inside) continue;
      const bool two_columns = x.high != x.low;
      visit((low + x.low) * pooling.channels + place.channel, y.low_weight * x.low_weight);
      if (two_columns) {
        visit((low + x.high) * pooling.channels + place.channel, y.low_weight * x.high_weight);
      }
      if (y.high == y.low) continue;
      visit((high + x.low) * pooling.channels + place.channel, y.high_weight * x.low_weight);
      if (two_columns) {
        visit((high + x.high) * pooling.channels + place.channel, y.high_weight * x.high_weight);
      }
    }
  }
}

template <class Element>
__global__ void Pool(Pooling pooling, int64_t total, Maps<const Element> features,
                     const float* boxes, Element* output) {
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const Place place = PlaceOf(pooling, item);
    const float* box = boxes + 4 * place.box;
    float sum = 0.0f;
    if (IsFiniteBox(box)) {
      const int level = LevelOfBox(box, pooling.min_area, pooling.num_levels);
      const Element* map = features.data[level];
      VisitCells(pooling, place, box, level,
                 [&](int64_t offset, float weight) { sum += weight * Widen(map[offset]); });
    }
    output[item] = RoundTo<Element>(sum);
  }
}

template <class Element>
__global__ void SpreadAtomically(Pooling pooling, int64_t total, const Element* gradient,
                                 const float* boxes, Maps<float> sums) {
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const Place place = PlaceOf(pooling, item);
    const float* box = boxes + 4 * place.box;
    if (!IsFiniteBox(box)) continue;
    const int level = LevelOfBox(box, pooling.min_area, pooling.num_levels);
    const float value = Widen(gradient[item]);
    float* map = sums.data[level];
    VisitCells(pooling, place, box, level,
               [&](int64_t offset, float weight) { atomicAdd(map + offset, weight * value); });
  }
}

// A thread owns a channel of one row of a map, and adds the boxes that reach it in their order.
template <class Element>
__global__ void SpreadInOrder(Pooling pooling, int level, int64_t total, const Element* gradient,
                              const float* boxes, float* sums) {
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    const int64_t channel = item % pooling.channels;
    const int64_t batch_row = item / pooling.channels;
    const int64_t image = batch_row / pooling.height[level];
    const int32_t row = static_cast<int32_t>(batch_row % pooling.height[level]);
    float* cells = sums + batch_row * pooling.width[level] * pooling.channels + channel;
    for (int64_t n = image * pooling.num_boxes; n < (image + 1) * pooling.num_boxes; ++n) {
      const float* box = boxes + 4 * n;
      if (!IsFiniteBox(box)) continue;
      if (LevelOfBox(box, pooling.min_area, pooling.num_levels) != level) continue;
      const SampledAxis axis_y = AxisY(pooling, box, level);
      // Most boxes are far from a row; a point writes to the cells less than two from it.
      const float top = axis_y.start;
      const float bottom = top + static_cast<float>(pooling.output_height) * axis_y.bin_size;
      const float at = static_cast<float>(row);
      if (at + 2.0f < fminf(top, bottom) || at - 2.0f > fmaxf(top, bottom)) continue;
      const SampledAxis axis_x = AxisX(pooling, box, level);
      for (int bin_y = 0; bin_y < pooling.output_height; ++bin_y) {
        float weight = 0.0f;
        for (float sample = 0.0f; sample < axis_y.samples; sample += 1.0f) {
          const AxisSample y = SampleAt(axis_y, bin_y, sample);
          if (!y.inside) continue;
          if (y.low == row) weight += y.low_weight;
          if (y.high == row && y.high != y.low) weight += y.high_weight;
        }
        if (weight == 0.0f) continue;
        for (int bin_x = 0; bin_x < pooling.output_width; ++bin_x) {
          const int64_t bin = (n * pooling.output_height + bin_y) * pooling.output_width + bin_x;
          const float value = weight * Widen(gradient[bin * pooling.channels + channel]);
          for (float sample = 0.0f; sample < axis_x.samples; sample += 1.0f) {
            const AxisSample x = SampleAt(axis_x, bin_x, sample);
            if (!x.inside) continue;
            cells[x.low * pooling.channels] += x.low_weight * value;
            if (x.high != x.low) cells[x.high * pooling.channels] += x.high_weight * value;
          }
        }
      }
    }
  }
}

template <class Element>
__global__ void RoundSums(int64_t total, const float* sums, Element* gradient) {
  for (int64_t item = FirstItem(); item < total; item += ItemStride()) {
    gradient[item] = RoundTo<Element>(sums[item]);
  }
}

// float32 gradients are summed where they are returned.
float* SumsInPlace(float* gradient) { return gradient; }
template <class Element>
float* SumsInPlace(Element*) {
  return nullptr;
}

}  // namespace

template <class Element>
GpuStatus RoiAlignGpu(const RoiAlignOptions& options, const std::vector<const Element*>& features,
                      const float* boxes, Element* output, GpuStream stream) {
  const GpuStatus error = CheckLevels(options);
  if (!error.empty()) return error;
  Maps<const Element> maps = {};
  std::copy(features.begin(), features.end(), maps.data);
  const int64_t total = PooledSize(options);
  return LaunchElementwise("RoiAlign", Pool<Element>, total, stream, MakePooling(options), total,
                           maps, boxes, output);
}

template <class Element>
size_t RoiAlignGradGpuWorkspace(const RoiAlignOptions& options) {
  if (sizeof(Element) == sizeof(float)) return 0;
  int64_t cells = 0;
  for (size_t l = 0; l < options.levels.size(); ++l) cells += MapSize(options, l);
  return sizeof(float) * static_cast<size_t>(cells);
}

template <class Element>
GpuStatus RoiAlignGradGpu(const RoiAlignOptions& options, const Element* output_gradient,
                          const float* boxes, const std::vector<Element*>& feature_gradients,
                          bool deterministic, void* workspace, GpuStream stream) {
  GpuStatus error = CheckLevels(options);
  if (!error.empty()) return error;
  const Pooling pooling = MakePooling(options);
  Maps<float> sums = {};
  float* next = static_cast<float*>(workspace);
  for (size_t l = 0; l < options.levels.size(); ++l) {
    sums.data[l] = SumsInPlace(feature_gradients[l]);
    if (sums.data[l] == nullptr) {
      sums.data[l] = next;
      next += MapSize(options, l);
    }
    error = FillZeros(sums.data[l], sizeof(float) * MapSize(options, l), stream);
    if (!error.empty()) return error;
  }
  if (PooledSize(options) > 0 && !deterministic) {
    const int64_t total = PooledSize(options);
    error = LaunchElementwise("RoiAlignGrad", SpreadAtomically<Element>, total, stream, pooling,
                              total, output_gradient, boxes, sums);
    if (!error.empty()) return error;
  }
  for (int l = 0; PooledSize(options) > 0 && deterministic && l < pooling.num_levels; ++l) {
    const int64_t total = options.batch * pooling.height[l] * options.channels;
    error = LaunchElementwise("RoiAlignGradInOrder", SpreadInOrder<Element>, total, stream, pooling,
                              l, total, output_gradient, boxes, sums.data[l]);
    if (!error.empty()) return error;
  }
  for (size_t l = 0; sizeof(Element) != sizeof(float) && l < options.levels.size(); ++l) {
    const int64_t total = MapSize(options, l);
    error = LaunchElementwise("RoundSums", RoundSums<Element>, total, stream, total, sums.data[l],
                              feature_gradients[l]);
    if (!error.empty()) return error;
  }
  return {};
}

#define MRCNN_INSTANTIATE(Element)                                                              \
  template GpuStatus RoiAlignGpu<Element>(const RoiAlignOptions&,                               \
                                          const std::vector<const Element*>&, const float*,     \
                                          Element*, GpuStream);                                 \
  template size_t RoiAlignGradGpuWorkspace<Element>(const RoiAlignOptions&);                    \
  template GpuStatus RoiAlignGradGpu<Element>(const RoiAlignOptions&, const Element*,           \
                                              const float*, const std::vector<Element*>&, bool, \
                                              void*, GpuStream);
MRCNN_INSTANTIATE(float)
MRCNN_INSTANTIATE(Float16)
MRCNN_INSTANTIATE(BFloat16)
#undef MRCNN_INSTANTIATE

}  // namespace mrcnn
