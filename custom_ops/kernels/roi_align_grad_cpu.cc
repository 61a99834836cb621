#include <algorithm>
#include <memory>
#include <type_traits>

#include "roi_align.h"
#include "roi_align_taps.h"
#include "simd.h"

namespace mrcnn {
namespace {

constexpr int kValues = 8;

// sums[offset + c] += weight * gradient[c] for every tap and begin <= c < end.
template <class S, class Element>
MRCNN_INLINE void Scatter(const Element* gradient, const BoxTaps& taps, int64_t begin, int64_t end,
                          float* sums) {
  using Float = typename S::Float;
  const int64_t* offsets = taps.offsets();
  const float* weights = taps.weights();
  const int num_taps = taps.size();
  int64_t c = begin;
  for (; c + kValues * S::kLanes <= end; c += kValues * S::kLanes) {
    Float values[kValues];
#pragma GCC unroll 8
    for (int i = 0; i < kValues; ++i) LoadWidened<S>(gradient + c + i * S::kLanes, values[i]);
    for (int tap = 0; tap < num_taps; ++tap) {
      float* cell = sums + offsets[tap] + c;
      const Float weight = weights[tap] - Float{};
#pragma GCC unroll 8
      for (int i = 0; i < kValues; ++i) {
        Float sum;
        Load(cell + i * S::kLanes, sum);
        sum += weight * values[i];
        Store(sum, cell + i * S::kLanes);
      }
    }
  }
  for (; c < end; ++c) {
    const float value = Widen(gradient[c]);
    for (int tap = 0; tap < num_taps; ++tap) sums[offsets[tap] + c] += weights[tap] * value;
  }
}

template <class S, class Element>
MRCNN_INLINE void SpreadBox(const RoiAlignOptions& options, const Element* gradient, BoxTaps& taps,
                            int64_t begin, int64_t end, float* sums) {
  for (int y = 0; y < options.output_height; ++y) {
    for (int x = 0; x < options.output_width; ++x) {
      taps.Select(y, x);
      Scatter<S>(gradient, taps, begin, end, sums);
      gradient += options.channels;
    }
  }
}

template <class Element>
void SpreadBoxNarrow(const RoiAlignOptions& options, const Element* gradient, BoxTaps& taps,
                     int64_t begin, int64_t end, float* sums) {
  SpreadBox<Narrow>(options, gradient, taps, begin, end, sums);
}

#if MRCNN_HAS_WIDE
template <class Element>
MRCNN_TARGET_WIDE void SpreadBoxWide(const RoiAlignOptions& options, const Element* gradient,
                                     BoxTaps& taps, int64_t begin, int64_t end, float* sums) {
  SpreadBox<Wide>(options, gradient, taps, begin, end, sums);
}
#else
template <class Element>
constexpr auto SpreadBoxWide = SpreadBoxNarrow<Element>;
#endif

// Threads own disjoint blocks of channels, so that each number is summed in the order of the boxes.
template <class Element>
void SpreadBoxes(const RoiAlignOptions& options, const Element* output_gradient, const float* boxes,
                 const std::vector<float*>& sums, const ParallelFor& parallel_for) {
  const int64_t pooled_size = PooledSize(options);
  if (options.batch * options.num_boxes == 0 || pooled_size == 0) return;
  // A block is at least a cache line wide, so that no two threads write to the same line.
  constexpr int64_t kLine = 16;
  const int64_t threads_per_image =
      std::max<int64_t>(1, (parallel_for.num_threads + options.batch - 1) / options.batch);
  const int64_t per_thread = (options.channels + threads_per_image - 1) / threads_per_image;
  const int64_t block = (per_thread + kLine - 1) / kLine * kLine;
  const int64_t num_blocks = (options.channels + block - 1) / block;
  const auto spread = UseWide() ? SpreadBoxWide<Element> : SpreadBoxNarrow<Element>;

  const int64_t cost = 4 * options.num_boxes * (pooled_size / options.channels) * block;
  parallel_for.run(options.batch * num_blocks, cost, [&](int64_t begin, int64_t end) {
    BoxTaps taps(options);
    for (int64_t unit = begin; unit < end; ++unit) {
      const int64_t image = unit / num_blocks;
      const int64_t first_channel = unit % num_blocks * block;
      const int64_t last_channel = std::min(first_channel + block, options.channels);
      for (int64_t n = 0; n < options.num_boxes; ++n) {
        const int64_t i = image * options.num_boxes + n;
        if (!taps.Compute(boxes + 4 * i)) continue;
        float* map = sums[taps.level()] + image * MapSize(options, taps.level());
        spread(options, output_gradient + i * pooled_size, taps, first_channel, last_channel, map);
      }
    }
  });
}

}  // namespace

template <class Element>
void RoiAlignGradCpu(const RoiAlignOptions& options, const Element* output_gradient,
                     const float* boxes, const std::vector<Element*>& feature_gradients,
                     const ParallelFor& parallel_for) {
  std::vector<std::unique_ptr<float[]>> memory;
  std::vector<float*> sums;
  // Calls work(level, begin, end) on stretches of the maps of all images.
  const auto for_maps = [&](const auto& work) {
    for (size_t l = 0; l < options.levels.size(); ++l) {
      parallel_for.run(options.batch * MapSize(options, l), 1,
                       [&, l](int64_t begin, int64_t end) { work(l, begin, end); });
    }
  };
  for (size_t l = 0; l < options.levels.size(); ++l) {
    if constexpr (std::is_same_v<Element, float>) {
      sums.push_back(feature_gradients[l]);
    } else {
      memory.emplace_back(new float[options.batch * MapSize(options, l)]);
      sums.push_back(memory.back().get());
    }
  }
  for_maps([&](size_t level, int64_t begin, int64_t end) {
    std::fill(sums[level] + begin, sums[level] + end, 0.0f);
  });
  SpreadBoxes(options, output_gradient, boxes, sums, parallel_for);
  if constexpr (!std::is_same_v<Element, float>) {
    for_maps([&](size_t level, int64_t begin, int64_t end) {
      for (int64_t i = begin; i < end; ++i) {
        feature_gradients[level][i] = RoundTo<Element>(sums[level][i]);
      }
    });
  }
}

#define MRCNN_INSTANTIATE(Element)                                                             \
  template void RoiAlignGradCpu<Element>(const RoiAlignOptions&, const Element*, const float*, \
                                         const std::vector<Element*>&, const ParallelFor&);
MRCNN_INSTANTIATE(float)
MRCNN_INSTANTIATE(Float16)
MRCNN_INSTANTIATE(BFloat16)
#undef MRCNN_INSTANTIATE

}  // namespace mrcnn
