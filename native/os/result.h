// A value or the error that stands in its place. Below the binding nothing throws: what can fail returns this, and
// [[nodiscard]] makes ignoring it a warning (an error in our builds).
#ifndef OFFHEAP_OS_RESULT_H_
#define OFFHEAP_OS_RESULT_H_

#include <cassert>
#include <type_traits>
#include <utility>

namespace offheap {

template <typename Value, typename Error>
class [[nodiscard]] Result {
  static_assert(std::is_trivially_copyable_v<Value> && std::is_trivially_copyable_v<Error>,
                "the arms share their bytes: keep them plain");

 public:
  // Implicit on purpose: `return value;` and `return error;` read as what they are.
  constexpr Result(Value value) : value_(value), ok_(true) {}   // NOLINT(google-explicit-constructor)
  constexpr Result(Error error) : error_(error), ok_(false) {}  // NOLINT(google-explicit-constructor)

  [[nodiscard]] constexpr bool ok() const { return ok_; }
  [[nodiscard]] constexpr const Value& value() const {
    assert(ok_);
    return value_;
  }
  [[nodiscard]] constexpr const Error& error() const {
    assert(!ok_);
    return error_;
  }

 private:
  // One or the other: errors are large, and on the hot path there are none to write.
  union {
    Value value_;
    Error error_;
  };
  bool ok_;
};

// The value of something that has none to give, only success.
struct Done {};

}  // namespace offheap

#endif  // OFFHEAP_OS_RESULT_H_
