#include <cmath>
#include <cstring>

#include "check.h"
#include "simd.h"

namespace mrcnn {
namespace {

// Every number there is: widened one by one and as vectors, and rounded back.
template <class S, class Element>
void CheckAllNumbers() {
  for (uint32_t start = 0; start < 0x10000u; start += S::kLanes) {
    Element numbers[S::kLanes];
    for (int i = 0; i < S::kLanes; ++i) numbers[i].bits = static_cast<uint16_t>(start + i);
    typename S::Float widened;
    LoadWidened<S>(numbers, widened);
    for (int i = 0; i < S::kLanes; ++i) {
      const float expected = Widen(numbers[i]);
      const float actual = widened[i];
      CHECK_EQ(BitsOf(actual), BitsOf(expected));
      const Element back = RoundTo<Element>(expected);
      if (std::isnan(expected)) {
        CHECK_EQ(std::isnan(Widen(back)), true);
      } else {
        CHECK_EQ(back.bits, numbers[i].bits);
      }
    }
  }
}

TEST(NarrowFloatsWidenAndRoundBack) {
  CheckAllNumbers<Narrow, Float16>();
  CheckAllNumbers<Narrow, BFloat16>();
}

TEST(Float16MeansWhatTheStandardSays) {
  for (uint32_t bits = 0; bits < 0x7c00u; ++bits) {
    const int exponent = static_cast<int>(bits >> 10);
    const int fraction = static_cast<int>(bits & 0x3ffu);
    const double value =
        exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
    CHECK_EQ(static_cast<double>(Widen(Float16{static_cast<uint16_t>(bits)})), value);
  }
}

}  // namespace
}  // namespace mrcnn
