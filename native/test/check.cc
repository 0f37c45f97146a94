#include "test/check.h"

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#ifdef OFFHEAP_FAULT_INJECTION
#include "os/calls.h"
#include "os/pages.h"
#endif

namespace offheap::test {

namespace {

struct Test {
  std::string_view promise;
  void (*body)();
};

struct Skipped {
  std::string why;
};

std::vector<Test>& tests() {
  static std::vector<Test> all;
  return all;
}

CommandLine parsed;
std::string current_note;

bool parse_number(std::string_view argument, std::string_view name, std::uint64_t& value) {
  if (!argument.starts_with(name)) return false;
  value = std::strtoull(std::string(argument.substr(name.size())).c_str(), nullptr, 10);
  return true;
}

bool wanted(std::string_view promise, const std::vector<std::string_view>& filters) {
  if (filters.empty()) return true;
  for (const std::string_view filter : filters) {
    if (promise.find(filter) != std::string_view::npos) return true;
  }
  return false;
}

enum class Outcome { kPassed, kFailed, kSkipped };

// Whether the tests can run with pages this long; says why not.
bool use_page_size([[maybe_unused]] std::uint64_t bytes) {
#if defined(OFFHEAP_FAULT_INJECTION) && !defined(_WIN32)
  if (offheap::os::internal::pretend_page_size(bytes)) return true;
  std::fprintf(stderr, "--page-size: a page has 4096, 16384 or 65536 bytes, and here no fewer than %zu\n",
               offheap::os::page_size());
#elif defined(_WIN32)
  std::fprintf(stderr, "--page-size: not on Windows, whose pages are 4096 bytes everywhere\n");
#else
  std::fprintf(stderr, "--page-size: only in a build with OFFHEAP_FAULT_INJECTION\n");
#endif
  return false;
}

Outcome run(const Test& test) {
  current_note.clear();
  try {
    test.body();
    return Outcome::kPassed;
  } catch (const Skipped& skipped) {
    std::printf("skipped: %.*s: %s\n", static_cast<int>(test.promise.size()), test.promise.data(), skipped.why.c_str());
    return Outcome::kSkipped;
  } catch (const Broken& broken) {
    std::printf("FAILED: %.*s\n    %s\n", static_cast<int>(test.promise.size()), test.promise.data(),
                broken.what.c_str());
    if (!current_note.empty()) std::printf("    %s\n", current_note.c_str());
    return Outcome::kFailed;
  }
}

}  // namespace

Registration::Registration(std::string_view promise, void (*body)()) { tests().push_back({promise, body}); }

const CommandLine& command_line() { return parsed; }

void skip(std::string_view why) { throw Skipped{std::string(why)}; }

void note(std::string text) { current_note = std::move(text); }

void fail(const char* file, int line, const std::string& what) {
  throw Broken{std::string(file) + ":" + std::to_string(line) + ": " + what};
}

struct Threads::State {
  std::vector<std::thread> threads;
  std::mutex mutex;
  std::exception_ptr first_broken;

  void join_all() {
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }
};

Threads::Threads() : state_(std::make_unique<State>()) {}
Threads::~Threads() { state_->join_all(); }

void Threads::start(std::function<void()> body) {
  state_->threads.emplace_back([state = state_.get(), body = std::move(body)] {
    try {
      body();
    } catch (...) {
      const std::scoped_lock lock(state->mutex);
      if (!state->first_broken) state->first_broken = std::current_exception();
    }
  });
}

void Threads::join() {
  state_->join_all();
  if (state_->first_broken) std::rethrow_exception(std::exchange(state_->first_broken, nullptr));
}

void on_threads(std::size_t count, const std::function<void(std::size_t)>& body) {
  Threads threads;
  for (std::size_t index = 0; index < count; ++index) threads.start([&body, index] { body(index); });
  threads.join();
}

}  // namespace offheap::test

// Usage: tests [--operations=n] [--seed=n] [--page-size=bytes] [--times] [words that a test's name must contain, any of
// them]
int main(int argument_count, char** arguments) {
  using namespace offheap::test;
  std::vector<std::string_view> filters;
  bool times = false;
  for (int index = 1; index < argument_count; ++index) {
    const std::string_view argument = arguments[index];
    if (parse_number(argument, "--operations=", parsed.operations)) continue;
    if (parse_number(argument, "--seed=", parsed.seed)) continue;
    if (std::uint64_t bytes = 0; parse_number(argument, "--page-size=", bytes)) {
      if (!use_page_size(bytes)) return 2;
      continue;
    }
    if (argument == "--times") {
      times = true;
      continue;
    }
    filters.push_back(argument);
  }
  int passed = 0;
  int failed = 0;
  for (const Test& test : tests()) {
    if (!wanted(test.promise, filters)) continue;
    const auto start = std::chrono::steady_clock::now();
    const Outcome outcome = run(test);
#ifdef OFFHEAP_FAULT_INJECTION
    offheap::os::faults::clear();
#endif
    passed += outcome == Outcome::kPassed ? 1 : 0;
    failed += outcome == Outcome::kFailed ? 1 : 0;
    if (times) {
      const std::chrono::duration<double, std::milli> taken = std::chrono::steady_clock::now() - start;
      std::printf("%10.1f ms  %.*s\n", taken.count(), static_cast<int>(test.promise.size()), test.promise.data());
    }
    (void)std::fflush(stdout);
  }
  std::printf("native: %d passed, %d failed\n", passed, failed);
  return failed == 0 ? 0 : 1;
}
