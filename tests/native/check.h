// The frame of the native tests: tests that register themselves, checks that name the random case
// which failed, random numbers of the unpleasant kinds, and threads.
#ifndef MRCNN_TESTS_NATIVE_CHECK_H_
#define MRCNN_TESTS_NATIVE_CHECK_H_

#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <sstream>
#include <stdexcept>
#include <string>
#include <vector>

#include "parallel_for.h"

namespace mrcnn {

// A failed check ends its test; the other tests still run.
struct CheckFailure : std::runtime_error {
  using std::runtime_error::runtime_error;
};

[[noreturn]] void Fail(const char* file, int line, const std::string& message);

struct RegisterTest {
  RegisterTest(const char* name, void (*body)());
};

// The same seed and case give the same numbers in every build, whatever ran before.
class Random {
 public:
  explicit Random(uint64_t seed) : bits_(seed) {}

  // From low to high, both included.
  int64_t Integer(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(bits_() % static_cast<uint64_t>(high - low + 1));
  }

  bool OneIn(int64_t n) { return Integer(1, n) == 1; }

  float Uniform(float low, float high) {
    const double part = static_cast<double>(bits_() >> 11) * 0x1p-53;
    return static_cast<float>(low + (static_cast<double>(high) - low) * part);
  }

  // Every order of magnitude between two positive numbers is as likely.
  float LogUniform(float low, float high) {
    return std::exp(Uniform(std::log(low), std::log(high)));
  }

  // What no kernel may stumble over: NaN, infinities, zeros, denormals, numbers beyond the range of
  // int32 and numbers whose squares overflow.
  float Hostile();

  // A plain number, or one in `rarity` times a hostile one.
  float Coordinate(float low, float high, int64_t rarity) {
    return OneIn(rarity) ? Hostile() : Uniform(low, high);
  }

  template <class T>
  const T& OneOf(const std::vector<T>& values) {
    return values[Integer(0, static_cast<int64_t>(values.size()) - 1)];
  }

 private:
  std::mt19937_64 bits_;
};

// How many random cases a test makes: `share` in a thousand of the program's --cases, at least one.
int64_t Cases(int64_t share);

// Calls `body` with the Random of each of Cases(share) cases; a check that fails in it names the
// case. --case K of the program runs the K-th alone.
void ForEachCase(int64_t share, const std::function<void(Random& random)>& body);

// All work at once on the calling thread, and work split over several threads however little it is.
const ParallelFor& OneThread();
const ParallelFor& ThreeThreads();

// Starting threads costs more than most cases, so only one in eight gets them.
inline const ParallelFor& SomeThreads(Random& random) {
  return random.OneIn(8) ? ThreeThreads() : OneThread();
}

template <class A, class B>
std::string Differing(const char* left, const char* right, const A& a, const B& b) {
  std::ostringstream text;
  text.precision(9);
  text << left << " = " << a << ", " << right << " = " << b;
  return text.str();
}

// Equal within an absolute tolerance. NaN equals NaN, and infinities equal themselves.
inline bool Near(double a, double b, double tolerance) {
  return a == b || std::fabs(a - b) <= tolerance || (std::isnan(a) && std::isnan(b));
}

}  // namespace mrcnn

#define TEST(name)                                                       \
  static void Test##name();                                              \
  static const ::mrcnn::RegisterTest kRegister##name(#name, Test##name); \
  static void Test##name()

#define CHECK(condition)                                                          \
  do {                                                                            \
    if (!(condition)) ::mrcnn::Fail(__FILE__, __LINE__, "not true: " #condition); \
  } while (false)

#define CHECK_EQ(a, b)                                                                 \
  do {                                                                                 \
    const auto& check_a = (a);                                                         \
    const auto& check_b = (b);                                                         \
    if (!(check_a == check_b)) {                                                       \
      ::mrcnn::Fail(__FILE__, __LINE__, ::mrcnn::Differing(#a, #b, check_a, check_b)); \
    }                                                                                  \
  } while (false)

#define CHECK_NEAR(a, b, tolerance)                                                    \
  do {                                                                                 \
    const double check_a = (a);                                                        \
    const double check_b = (b);                                                        \
    if (!::mrcnn::Near(check_a, check_b, (tolerance))) {                               \
      ::mrcnn::Fail(__FILE__, __LINE__, ::mrcnn::Differing(#a, #b, check_a, check_b)); \
    }                                                                                  \
  } while (false)

#endif  // MRCNN_TESTS_NATIVE_CHECK_H_
