// What a test needs and no more: TEST registers one under the promise it keeps, CHECK and CHECK_EQ end it when the
// promise is broken.
//
//   TEST("a block freed twice is refused") {
//     ...
//     CHECK_EQ(heap->free(address, 100).error().reason, Refusal::kFreed);
//   }
#ifndef OFFHEAP_TEST_CHECK_H_
#define OFFHEAP_TEST_CHECK_H_

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

namespace offheap::test {

// Thrown by a check that does not hold; ends the test.
struct Broken {
  std::string what;
};

class Registration {
 public:
  Registration(std::string_view promise, void (*body)());
};

// What the command line asks for. Each test that is random, or takes long, adjusts to it.
struct CommandLine {
  std::uint64_t operations = 0;  // 0: the test's own default
  std::uint64_t seed = 0;        // 0: the test's own default
};
[[nodiscard]] const CommandLine& command_line();

// Ends the test as neither passed nor failed: it does not apply here.
[[noreturn]] void skip(std::string_view why);

// Added to the message of a check that fails in this test: how to make it happen again.
void note(std::string text);

// Runs body(0) to body(count - 1) on a thread each and waits for all. A check broken in one of them fails the test.
void on_threads(std::size_t count, const std::function<void(std::size_t)>& body);

// The same for threads that run beside the test until it joins them, or ends.
class Threads {
 public:
  Threads();
  ~Threads();
  Threads(const Threads&) = delete;
  Threads& operator=(const Threads&) = delete;

  void start(std::function<void()> body);
  // Waits for all; throws what the first broken check of theirs threw.
  void join();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

template <typename Value>
[[nodiscard]] std::string to_text(const Value& value) {
  if constexpr (std::is_same_v<Value, bool>) {
    return value ? "true" : "false";
  } else if constexpr (std::is_enum_v<Value>) {
    return std::to_string(static_cast<std::int64_t>(value));
  } else if constexpr (std::is_pointer_v<Value>) {
    return "address " + std::to_string(reinterpret_cast<std::uintptr_t>(value));
  } else if constexpr (std::is_arithmetic_v<Value>) {
    return std::to_string(value);
  } else if constexpr (std::convertible_to<Value, std::string_view>) {
    return std::string(std::string_view(value));
  } else {
    return "(a value)";
  }
}

[[noreturn]] void fail(const char* file, int line, const std::string& what);

template <typename Left, typename Right>
void check_equal(const Left& left, const Right& right, const char* text, const char* file, int line) {
  bool equal = false;
  if constexpr (std::integral<Left> && std::integral<Right> && !std::is_same_v<Left, bool> &&
                !std::is_same_v<Right, bool>) {
    equal = std::cmp_equal(left, right);
  } else {
    equal = left == right;
  }
  if (!equal) fail(file, line, std::string(text) + ": " + to_text(left) + " is not " + to_text(right));
}

}  // namespace offheap::test

#define OFFHEAP_TEST_JOIN_(left, right) left##right
#define OFFHEAP_TEST_JOIN(left, right) OFFHEAP_TEST_JOIN_(left, right)

#define TEST(promise)                                                                            \
  static void OFFHEAP_TEST_JOIN(test_at_line_, __LINE__)();                                      \
  static const ::offheap::test::Registration OFFHEAP_TEST_JOIN(registration_at_line_, __LINE__)( \
      promise, &OFFHEAP_TEST_JOIN(test_at_line_, __LINE__));                                     \
  static void OFFHEAP_TEST_JOIN(test_at_line_, __LINE__)()

#define CHECK(condition)                                                     \
  do {                                                                       \
    if (!(condition)) ::offheap::test::fail(__FILE__, __LINE__, #condition); \
  } while (false)

#define CHECK_EQ(left, right) ::offheap::test::check_equal((left), (right), #left " == " #right, __FILE__, __LINE__)

#endif  // OFFHEAP_TEST_CHECK_H_
