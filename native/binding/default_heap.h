// The heap that all threads share who do not make one of their own.
#ifndef OFFHEAP_BINDING_DEFAULT_HEAP_H_
#define OFFHEAP_BINDING_DEFAULT_HEAP_H_

#include "heap/shared_heap.h"

namespace offheap::binding {

// One more handle on it. Made at the first call; lasts as long as the process. Any thread.
[[nodiscard]] heap::Result<heap::SharedHeap*> default_heap();
// Whether `heap` is it.
[[nodiscard]] bool is_default(const heap::SharedHeap& heap);

}  // namespace offheap::binding

#endif  // OFFHEAP_BINDING_DEFAULT_HEAP_H_
