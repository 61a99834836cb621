#include <algorithm>
#include <type_traits>

#include "roi_align.h"
#include "roi_align_taps.h"
#include "simd.h"

namespace mrcnn {
namespace {

constexpr int kAccumulators = 8;

// output[c] = sum over taps of weight * map[offset + c]. The sums of a block of channels stay in
// registers while the taps go by; left to itself the compiler stores and reloads them.
template <class S, class Element>
MRCNN_INLINE void Gather(const Element* map, const BoxTaps& taps, int64_t channels, float* output) {
  using Float = typename S::Float;
  const int64_t* offsets = taps.offsets();
  const float* weights = taps.weights();
  const int num_taps = taps.size();
  int64_t c = 0;
  for (; c + kAccumulators * S::kLanes <= channels; c += kAccumulators * S::kLanes) {
    Float sums[kAccumulators] = {};
    for (int tap = 0; tap < num_taps; ++tap) {
      const Element* cell = map + offsets[tap] + c;
      const Float weight = weights[tap] - Float{};
#pragma GCC unroll 8
      for (int i = 0; i < kAccumulators; ++i) {
        Float value;
        LoadWidened<S>(cell + i * S::kLanes, value);
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
      LoadWidened<S>(map + offsets[tap] + c, value);
      sum += (weights[tap] - Float{}) * value;
    }
    Store(sum, output + c);
  }
  for (; c < channels; ++c) {
    float sum = 0.0f;
    for (int tap = 0; tap < num_taps; ++tap) sum += weights[tap] * Widen(map[offsets[tap] + c]);
    output[c] = sum;
  }
}

// `sums` has room for the channels of one bin; float32 needs none.
template <class S, class Element>
MRCNN_INLINE void PoolBox(const RoiAlignOptions& options, const Element* map, BoxTaps& taps,
                          float* sums, Element* output) {
  for (int y = 0; y < options.output_height; ++y) {
    for (int x = 0; x < options.output_width; ++x) {
      taps.Select(y, x);
      if constexpr (std::is_same_v<Element, float>) {
        Gather<S>(map, taps, options.channels, output);
      } else {
        Gather<S>(map, taps, options.channels, sums);
        for (int64_t c = 0; c < options.channels; ++c) output[c] = RoundTo<Element>(sums[c]);
      }
      output += options.channels;
    }
  }
}

template <class Element>
void PoolBoxNarrow(const RoiAlignOptions& options, const Element* map, BoxTaps& taps, float* sums,
                   Element* output) {
  PoolBox<Narrow>(options, map, taps, sums, output);
}

#if MRCNN_HAS_WIDE
template <class Element>
MRCNN_TARGET_WIDE void PoolBoxWide(const RoiAlignOptions& options, const Element* map,
                                   BoxTaps& taps, float* sums, Element* output) {
  PoolBox<Wide>(options, map, taps, sums, output);
}
#else
template <class Element>
constexpr auto PoolBoxWide = PoolBoxNarrow<Element>;
#endif

}  // namespace

template <class Element>
void RoiAlignCpu(const RoiAlignOptions& options, const std::vector<const Element*>& features,
                 const float* boxes, Element* output, const ParallelFor& parallel_for) {
  const int64_t pooled_size = PooledSize(options);
  const int64_t total = options.batch * options.num_boxes;
  if (total == 0 || pooled_size == 0) return;
  const auto pool = UseWide() ? PoolBoxWide<Element> : PoolBoxNarrow<Element>;
  parallel_for.run(total, 4 * pooled_size, [&](int64_t begin, int64_t end) {
    BoxTaps taps(options);
    std::vector<float> sums(std::is_same_v<Element, float> ? 0 : options.channels);
    for (int64_t i = begin; i < end; ++i) {
      Element* pooled = output + i * pooled_size;
      if (!taps.Compute(boxes + 4 * i)) {
        std::fill_n(pooled, pooled_size, Element{});
        continue;
      }
      const int64_t image = i / options.num_boxes;
      const Element* map = features[taps.level()] + image * MapSize(options, taps.level());
      pool(options, map, taps, sums.data(), pooled);
    }
  });
}

#define MRCNN_INSTANTIATE(Element)                                                               \
  template void RoiAlignCpu<Element>(const RoiAlignOptions&, const std::vector<const Element*>&, \
                                     const float*, Element*, const ParallelFor&);
MRCNN_INSTANTIATE(float)
MRCNN_INSTANTIATE(Float16)
MRCNN_INSTANTIATE(BFloat16)
#undef MRCNN_INSTANTIATE

}  // namespace mrcnn
