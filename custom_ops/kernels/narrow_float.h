// The 16-bit floats that features may come in, bit for bit as TensorFlow and CUDA lay them out.
// Kernels compute in float32: they widen what they read and round once what they write.
#ifndef MRCNN_KERNELS_NARROW_FLOAT_H_
#define MRCNN_KERNELS_NARROW_FLOAT_H_

#include <cstdint>
#include <cstring>

#include "host_device.h"

namespace mrcnn {

struct Float16 {
  uint16_t bits;
};

struct BFloat16 {
  uint16_t bits;
};

MRCNN_HOST_DEVICE inline uint32_t BitsOf(float value) {
  uint32_t bits;
  memcpy(&bits, &value, sizeof(bits));
  return bits;
}

MRCNN_HOST_DEVICE inline float FloatOf(uint32_t bits) {
  float value;
  memcpy(&value, &bits, sizeof(value));
  return value;
}

MRCNN_HOST_DEVICE inline float Widen(float value) { return value; }

MRCNN_HOST_DEVICE inline float Widen(BFloat16 value) {
  return FloatOf(static_cast<uint32_t>(value.bits) << 16);
}

MRCNN_HOST_DEVICE inline float Widen(Float16 value) {
  const uint32_t sign = static_cast<uint32_t>(value.bits & 0x8000u) << 16;
  const uint32_t rest = value.bits & 0x7fffu;
  if (rest >= 0x7c00u) return FloatOf(sign | 0x7f800000u | (rest & 0x3ffu) << 13);
  // The exponent moves from a bias of 15 to one of 127. TensorFlow's threads take subnormal float32
  // for 0, so none may come up on the way.
  if (rest >= 0x400u) return FloatOf(((rest << 13) + 0x38000000u) | sign);
  return FloatOf(BitsOf(FloatOf(rest << 13 | 0x38800000u) - 0x1p-14f) | sign);
}

// RoundTo<T>(value) is `value` rounded to the nearest T, of two equally near ones to the even one.
template <class T>
MRCNN_HOST_DEVICE inline T RoundTo(float value);

template <>
MRCNN_HOST_DEVICE inline float RoundTo<float>(float value) {
  return value;
}

template <>
MRCNN_HOST_DEVICE inline BFloat16 RoundTo<BFloat16>(float value) {
  const uint32_t bits = BitsOf(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return {static_cast<uint16_t>(bits >> 16 | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16)};
}

template <>
MRCNN_HOST_DEVICE inline Float16 RoundTo<Float16>(float value) {
  const uint32_t bits = BitsOf(value);
  const uint16_t sign = static_cast<uint16_t>(bits >> 16 & 0x8000u);
  const uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (rest >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};  // 65520 and above
  if (rest < 0x38800000u) {
    // Subnormal: adding 0.5 leaves the rounded steps of 2^-24 in the lowest bits.
    const uint32_t steps = BitsOf(FloatOf(rest) + 0.5f) - 0x3f000000u;
    return {static_cast<uint16_t>(sign | steps)};
  }
  const uint32_t rounded = rest + 0xfffu + (rest >> 13 & 1u);
  return {static_cast<uint16_t>(sign | (rounded - 0x38000000u) >> 13)};
}

}  // namespace mrcnn

#endif  // MRCNN_KERNELS_NARROW_FLOAT_H_
