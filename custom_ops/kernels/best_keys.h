// The best of many scored candidates, in order. For the CPU.
#ifndef MRCNN_KERNELS_BEST_KEYS_H_
#define MRCNN_KERNELS_BEST_KEYS_H_

#include <algorithm>
#include <cfloat>
#include <cstdint>
#include <vector>

#include "box_math.h"

namespace mrcnn {

// Sorts keys whose lower halves ascend already, by their upper halves, from the lowest digit up.
inline void SortByScore(std::vector<uint64_t>* keys) {
  constexpr int kDigit = 11, kDigits = 3;
  constexpr size_t kValues = size_t{1} << kDigit;
  if (keys->size() < 512) {
    std::sort(keys->begin(), keys->end());
    return;
  }
  std::vector<uint32_t> starts(kDigits * kValues, 0);
  const auto digit = [](uint64_t key, int d) { return key >> (32 + d * kDigit) & (kValues - 1); };
  for (uint64_t key : *keys) {
    for (int d = 0; d < kDigits; ++d) ++starts[d * kValues + digit(key, d)];
  }
  std::vector<uint64_t> sorted(keys->size());
  for (int d = 0; d < kDigits; ++d) {
    uint32_t* start = starts.data() + d * kValues;
    if (start[digit((*keys)[0], d)] == keys->size()) continue;
    uint32_t before = 0;
    for (size_t value = 0; value < kValues; ++value) {
      const uint32_t size = start[value];
      start[value] = before;
      before += size;
    }
    for (uint64_t key : *keys) sorted[start[digit(key, d)]++] = key;
    keys->swap(sorted);
  }
}

// The lowest score of a sample of the candidates that about `wanted` of all should reach, with some
// to spare; -FLT_MAX if all are to be looked at.
template <class Usable>
float SampledBound(const float* scores, int64_t num_candidates, int64_t wanted,
                   const Usable& usable) {
  constexpr int64_t kSample = 2048;
  if (num_candidates <= 4 * kSample || wanted >= num_candidates / 4) return -FLT_MAX;
  std::vector<float> sample;
  // An odd step of its own: one that divides the number of classes would see a single class.
  const int64_t step = num_candidates / kSample | 1;
  for (int64_t i = 0; i < num_candidates; i += step) {
    if (usable(i)) sample.push_back(scores[i]);
  }
  const int64_t rank = 3 * wanted * kSample / (2 * num_candidates) + 32;
  if (rank >= static_cast<int64_t>(sample.size())) return -FLT_MAX;
  std::nth_element(sample.begin(), sample.begin() + rank, sample.end(),
                   [](float a, float b) { return a > b; });
  return sample[rank];
}

// Sort keys of the best `wanted` of the candidates 0 .. num_candidates - 1, best first, or of all
// if there are fewer. `usable(i)` tells whether candidate i counts. A sample of the scores gives a
// bound that few candidates pass, so that most of them cost a single comparison.
template <class Usable>
std::vector<uint64_t> BestKeys(const float* scores, int64_t num_candidates, int64_t wanted,
                               const Usable& usable) {
  std::vector<uint64_t> keys;
  float bound = SampledBound(scores, num_candidates, wanted, usable);
  const auto add_from = [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      if (scores[i] >= bound && usable(i)) {
        keys.push_back(SortKey(scores[i], static_cast<uint32_t>(i)));
      }
    }
  };
  while (true) {
    constexpr int64_t kStretch = 16;
    int64_t i = 0;
    for (; i + kStretch <= num_candidates; i += kStretch) {
      int passing = 0;
      for (int64_t j = i; j < i + kStretch; ++j) passing += scores[j] >= bound;
      if (passing > 0) add_from(i, i + kStretch);
    }
    add_from(i, num_candidates);
    if (bound == -FLT_MAX || static_cast<int64_t>(keys.size()) >= wanted) break;
    bound = -FLT_MAX;
    keys.clear();
  }
  SortByScore(&keys);
  if (static_cast<int64_t>(keys.size()) > wanted) keys.resize(wanted);
  return keys;
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_BEST_KEYS_H_
