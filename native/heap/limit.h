// The most bytes a heap may have in use. Checked here and nowhere else, before anything is taken.
#ifndef OFFHEAP_HEAP_LIMIT_H_
#define OFFHEAP_HEAP_LIMIT_H_

#include <cstddef>
#include <limits>

namespace offheap::heap {

// A plain value, constant for the life of its heap.
class Limit {
 public:
  static constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();

  constexpr explicit Limit(std::size_t bytes = kNone) : bytes_(bytes) {}

  // Whether `asked` more bytes may come into use beside `in_use`, when `given_back` of those end at the same moment
  // (the old size of a block that is resized).
  [[nodiscard]] constexpr bool allows(std::size_t in_use, std::size_t asked, std::size_t given_back = 0) const {
    if (bytes_ == kNone || asked <= given_back) return true;
    const std::size_t room = bytes_ > in_use ? bytes_ - in_use : 0;
    return asked - given_back <= room;
  }

  [[nodiscard]] constexpr std::size_t bytes() const { return bytes_; }

 private:
  std::size_t bytes_;
};

static_assert(Limit(100).allows(60, 40) && !Limit(100).allows(60, 41));
static_assert(Limit(100).allows(100, 60, 60) && !Limit(100).allows(100, 61, 60));
static_assert(!Limit(0).allows(0, 1) && Limit().allows(~std::size_t{0}, ~std::size_t{0}));

}  // namespace offheap::heap

#endif  // OFFHEAP_HEAP_LIMIT_H_
