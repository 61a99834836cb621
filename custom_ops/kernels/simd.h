// Vectors of floats in two widths, and the choice between them at run time.
#ifndef MRCNN_KERNELS_SIMD_H_
#define MRCNN_KERNELS_SIMD_H_

#include <cstdint>
#include <cstring>

#include "narrow_float.h"

// The baseline of each architecture has 16-byte registers. On x86-64 a second copy of each inner
// loop is compiled for 32 bytes; 64 bytes would be split in halves there and spill.
#if defined(__x86_64__)
#define MRCNN_HAS_WIDE 1
#define MRCNN_TARGET_WIDE __attribute__((target("avx2,fma")))
#else
#define MRCNN_HAS_WIDE 0
#define MRCNN_TARGET_WIDE
#endif

// Inner loops are written once as templates and must melt into the copy that calls them: code
// compiled by itself would be compiled for the baseline.
#define MRCNN_INLINE inline __attribute__((always_inline))

namespace mrcnn {

template <int kBytes>
struct Simd {
  static constexpr int kLanes = kBytes / 4;
  typedef float Float __attribute__((vector_size(kBytes)));
  typedef int32_t Int __attribute__((vector_size(kBytes)));
  typedef uint16_t Half __attribute__((vector_size(kBytes / 2)));
};

using Narrow = Simd<16>;
using Wide = Simd<32>;

// memcpy becomes one unaligned move; nothing in TensorFlow promises more than 4-byte alignment
// for the start of a row.
template <class V>
MRCNN_INLINE void Load(const float* from, V& to) {
  std::memcpy(&to, from, sizeof(V));
}

template <class V>
MRCNN_INLINE void Store(const V& from, float* to) {
  std::memcpy(to, &from, sizeof(V));
}

// kLanes numbers, widened as Widen() does it one by one.
template <class S>
MRCNN_INLINE void LoadWidened(const float* from, typename S::Float& to) {
  Load(from, to);
}

template <class S>
MRCNN_INLINE void LoadWidened(const BFloat16* from, typename S::Float& to) {
  typename S::Half half;
  std::memcpy(&half, from, sizeof(half));
  const typename S::Int bits = __builtin_convertvector(half, typename S::Int) << 16;
  std::memcpy(&to, &bits, sizeof(to));
}

template <class S>
MRCNN_INLINE void LoadWidened(const Float16* from, typename S::Float& to) {
  using Int = typename S::Int;
  typename S::Half half;
  std::memcpy(&half, from, sizeof(half));
  const Int bits = __builtin_convertvector(half, Int);
  const Int rest = bits & 0x7fff;
  Int normal = (rest << 13) + 0x38000000;
  normal = rest >= 0x7c00 ? normal + 0x38000000 : normal;  // infinite and NaN
  Int small = (rest << 13) | 0x38800000;
  typename S::Float steps;
  std::memcpy(&steps, &small, sizeof(steps));
  steps -= 0x1p-14f;
  std::memcpy(&small, &steps, sizeof(small));
  const Int widened = (rest < 0x400 ? small : normal) | (bits & 0x8000) << 16;
  std::memcpy(&to, &widened, sizeof(to));
}

inline bool UseWide() {
#if MRCNN_HAS_WIDE
  static const bool wide = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
  return wide;
#else
  return false;
#endif
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_SIMD_H_
