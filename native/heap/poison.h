// Tells AddressSanitizer which bytes of our pages nobody may touch; it cannot know by itself, since the pages come from
// mmap. Nothing at all in other builds.
#ifndef OFFHEAP_HEAP_POISON_H_
#define OFFHEAP_HEAP_POISON_H_

#include <cstddef>

#if defined(__SANITIZE_ADDRESS__)
#define OFFHEAP_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define OFFHEAP_HAS_ASAN 1
#endif
#endif

#ifdef OFFHEAP_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

namespace offheap::heap::poison {

// From now on a touch of these bytes is reported.
inline void lay([[maybe_unused]] const std::byte* start, [[maybe_unused]] std::size_t bytes) {
#ifdef OFFHEAP_HAS_ASAN
  __asan_poison_memory_region(start, bytes);
#endif
}

inline void lift([[maybe_unused]] const std::byte* start, [[maybe_unused]] std::size_t bytes) {
#ifdef OFFHEAP_HAS_ASAN
  __asan_unpoison_memory_region(start, bytes);
#endif
}

}  // namespace offheap::heap::poison

#endif  // OFFHEAP_HEAP_POISON_H_
