// The two calls that are made all the time, as functions of the addon: no object to unwrap, one crossing each. Each
// implementation of array_buffers.h has its own way to be called by JavaScript.
#ifndef OFFHEAP_BINDING_CALLS_H_
#define OFFHEAP_BINDING_CALLS_H_

#include <napi.h>

#include "binding/array_buffers.h"
#include "binding/open_heap.h"

namespace offheap::binding {

class Environment;

// `alloc` and `free` of NativeAddon in lib/native.ts.
void define_calls(Napi::Env env, Napi::Object exports, Environment& environment);

// A buffer over a new block, whose lease stands.
[[nodiscard]] Made allocate(Napi::Env env, OpenHeap& open, heap::Layout layout, heap::Fill fill);
// The same for a SharedArrayBuffer; array_buffers::can_share().
[[nodiscard]] Made allocate_shared(Napi::Env env, OpenHeap& open, heap::Layout layout);
// Makes what `made` says the pending exception, if it is not kDone.
void raise(Napi::Env env, const Made& made);

// Which heap, and how the block is to be: one number for each combination, so that `alloc` has two arguments to look
// at. lib/heap.ts puts it together.
struct Terms {
  std::uint32_t slot = 0;
  std::uint32_t align_shift = 0;
  heap::Fill fill = heap::Fill::kZero;

  static constexpr unsigned kSlotShift = 6;
  static constexpr std::uint32_t kUnsafe = 32;
  static constexpr std::uint32_t kAlignShiftMask = 31;

  [[nodiscard]] static Terms of(std::uint32_t number) {
    return {number >> kSlotShift, number & kAlignShiftMask,
            (number & kUnsafe) != 0 ? heap::Fill::kAnything : heap::Fill::kZero};
  }
};

// A size or an alignment as JavaScript passes it: false unless it is a whole number from 1 to 2^53.
[[nodiscard]] inline bool is_positive_integer(double number, std::size_t* integer) {
  constexpr double kMostExact = 9007199254740992.0;
  if (!(number >= 1 && number <= kMostExact)) return false;
  *integer = static_cast<std::size_t>(number);
  return static_cast<double>(*integer) == number;
}

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_CALLS_H_
