// Vectors of floats in two widths, and the choice between them at run time.
#ifndef MRCNN_KERNELS_SIMD_H_
#define MRCNN_KERNELS_SIMD_H_

#include <cstdint>
#include <cstring>

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
