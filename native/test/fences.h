// For tests of what relies on os/fences.h: the same without the kernel's help.
#ifndef OFFHEAP_TEST_FENCES_H_
#define OFFHEAP_TEST_FENCES_H_

#include "os/fences.h"

namespace offheap::test {

// While it lives, both sides fence themselves, as on a system without such a call. No other thread announces anything
// when it is made, nor when it ends, so that no two ever go by different rules.
class NoKernelFences {
 public:
  NoKernelFences() : had_(os::internal::kernel_fences.exchange(false)) {}
  ~NoKernelFences() { os::internal::kernel_fences.store(had_); }
  NoKernelFences(const NoKernelFences&) = delete;
  NoKernelFences& operator=(const NoKernelFences&) = delete;

 private:
  const bool had_;
};

}  // namespace offheap::test

#endif  // OFFHEAP_TEST_FENCES_H_
