// The program `native_tests`: runs the registered tests and reports the first failure of each.
//
//   native_tests [--cases N] [--seed N] [--filter NAME] [--case K]
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <thread>

#include "check.h"

namespace mrcnn {
namespace {

struct Test {
  const char* name;
  void (*body)();
};

// A function's static, because tests register themselves before main() in an unknown order.
std::vector<Test>& Tests() {
  static std::vector<Test> tests;
  return tests;
}

struct Arguments {
  int64_t cases = 2000;
  uint64_t seed = 1;
  int64_t only_case = -1;
  std::string filter;
};

Arguments arguments;
const char* current_test = "";
int64_t current_case = -1;
int64_t cases_run = 0;

uint64_t SeedOf(const char* test, int64_t index) {
  uint64_t seed = arguments.seed * 0x9e3779b97f4a7c15u;
  for (const char* c = test; *c != 0; ++c)
    seed = (seed ^ static_cast<uint8_t>(*c)) * 0x100000001b3u;
  return seed + static_cast<uint64_t>(index) * 0xd1342543de82ef95u;
}

ParallelFor SplitOver(int threads) {
  ParallelFor parallel_for;
  parallel_for.num_threads = threads;
  parallel_for.run = [threads](int64_t total, int64_t,
                               const std::function<void(int64_t, int64_t)>& work) {
    std::vector<std::thread> pool;
    for (int i = 1; i < threads; ++i) {
      const int64_t begin = total * i / threads, end = total * (i + 1) / threads;
      if (begin < end) pool.emplace_back(work, begin, end);
    }
    if (total / threads > 0) work(0, total / threads);
    for (std::thread& thread : pool) thread.join();
  };
  return parallel_for;
}

[[noreturn]] void Usage() {
  std::fprintf(stderr, "usage: native_tests [--cases N] [--seed N] [--filter NAME] [--case K]\n");
  std::exit(2);
}

int64_t Number(const char* text) {
  char* end = nullptr;
  const int64_t number = std::strtoll(text, &end, 10);
  if (end == text || *end != 0 || number < 0) Usage();
  return number;
}

void Parse(int argc, char** argv) {
  for (int i = 1; i < argc; i += 2) {
    if (i + 1 == argc) Usage();
    const std::string name = argv[i];
    const char* value = argv[i + 1];
    if (name == "--cases") {
      arguments.cases = Number(value);
    } else if (name == "--seed") {
      arguments.seed = static_cast<uint64_t>(Number(value));
    } else if (name == "--case") {
      arguments.only_case = Number(value);
    } else if (name == "--filter") {
      arguments.filter = value;
    } else {
      Usage();
    }
  }
}

int RunTests() {
  int ran = 0, failed = 0;
  for (const Test& test : Tests()) {
    if (std::string(test.name).find(arguments.filter) == std::string::npos) continue;
    ++ran;
    current_test = test.name;
    current_case = -1;
    cases_run = 0;
    const auto start = std::chrono::steady_clock::now();
    std::string failure;
    try {
      test.body();
    } catch (const std::exception& error) {
      failure = error.what();
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::printf("%s %s (%lld random cases, %.1f s)\n", failure.empty() ? "ok    " : "FAILED",
                test.name, static_cast<long long>(cases_run), seconds.count());
    if (!failure.empty()) {
      std::printf("%s\n", failure.c_str());
      ++failed;
    }
    std::fflush(stdout);
  }
  std::printf("%d tests, %d failed\n", ran, failed);
  // A filter that fits no test must not look like success.
  return failed > 0 || ran == 0 ? 1 : 0;
}

}  // namespace

RegisterTest::RegisterTest(const char* name, void (*body)()) { Tests().push_back({name, body}); }

void Fail(const char* file, int line, const std::string& message) {
  std::ostringstream text;
  text << file << ":" << line << ": " << message;
  if (current_case >= 0) {
    text << "\n  again: --seed " << arguments.seed << " --filter " << current_test << " --case "
         << current_case;
  }
  throw CheckFailure(text.str());
}

float Random::Hostile() {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  static const std::vector<float> values = {std::numeric_limits<float>::quiet_NaN(),
                                            kInfinity,
                                            -kInfinity,
                                            std::numeric_limits<float>::max(),
                                            std::numeric_limits<float>::lowest(),
                                            std::numeric_limits<float>::denorm_min(),
                                            -std::numeric_limits<float>::denorm_min(),
                                            std::numeric_limits<float>::min(),
                                            0.0f,
                                            -0.0f,
                                            1e30f,
                                            -1e30f,
                                            2e19f,
                                            -2e19f,
                                            1e10f,
                                            -1e10f,
                                            2147483648.0f,
                                            -2147483904.0f,
                                            16777217.0f,
                                            1e-30f};
  return OneOf(values);
}

int64_t Cases(int64_t share) {
  const int64_t cases = arguments.cases * share / 1000;
  return cases > 0 ? cases : 1;
}

void ForEachCase(int64_t share, const std::function<void(Random& random)>& body) {
  const int64_t cases = Cases(share);
  for (int64_t i = 0; i < cases; ++i) {
    if (arguments.only_case >= 0 && i != arguments.only_case) continue;
    current_case = i;
    ++cases_run;
    Random random(SeedOf(current_test, i));
    body(random);
  }
  current_case = -1;
}

const ParallelFor& OneThread() {
  static const ParallelFor parallel_for = SplitOver(1);
  return parallel_for;
}

const ParallelFor& ThreeThreads() {
  static const ParallelFor parallel_for = SplitOver(3);
  return parallel_for;
}

}  // namespace mrcnn

int main(int argc, char** argv) {
  mrcnn::Parse(argc, argv);
  return mrcnn::RunTests();
}
