// The kernel's own word on what native/os did. Linux only: the kernel is asked to read from and write to an address,
// which it refuses with EFAULT where the process itself would die.
#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>
#include <string>

#include "heap/release_retry.h"
#include "os/pages.h"
#include "test/heaps.h"

namespace offheap::test {

namespace {

class Pipe {
 public:
  Pipe() { CHECK(::pipe(ends_.data()) == 0); }
  ~Pipe() {
    ::close(ends_[0]);
    ::close(ends_[1]);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;

  [[nodiscard]] bool can_read(const std::byte* address) {
    if (::write(ends_[1], address, 1) != 1) return false;
    char taken = 0;
    CHECK(::read(ends_[0], &taken, 1) == 1);
    return true;
  }
  [[nodiscard]] bool can_write(std::byte* address) {
    const char given = 0;
    CHECK(::write(ends_[1], &given, 1) == 1);
    if (::read(ends_[0], address, 1) == 1) return true;
    char taken = 0;
    CHECK(::read(ends_[0], &taken, 1) == 1);
    return false;
  }

 private:
  std::array<int, 2> ends_{};
};

[[nodiscard]] bool is_mapped(const std::byte* address) {
  std::ifstream maps("/proc/self/maps");
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  std::uintptr_t start = 0;
  std::uintptr_t end = 0;
  char hyphen = 0;
  for (std::string line; std::getline(maps, line);) {
    std::istringstream words(line);
    words >> std::hex >> start >> hyphen >> end;
    if (start <= wanted && wanted < end) return true;
  }
  return false;
}

// Mappings without access and without a name: reservations.
[[nodiscard]] std::size_t count_reservations() {
  std::ifstream maps("/proc/self/maps");
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    count += line.find(" ---p ") != std::string::npos && line.find('/') == std::string::npos ? 1 : 0;
  }
  return count;
}

[[nodiscard]] bool is_resident(std::byte* address) {
  // It writes a byte for each page of the kernel's own, however long a page is said to be: so one byte is asked for.
  std::array<unsigned char, 1> resident{};
  if (::mincore(address, 1, resident.data()) == 0) return (resident[0] & 1) != 0;
  // So qemu answers for pages without access, and tells nothing of what is behind them.
  CHECK(errno == ENOMEM && is_mapped(address));
  return false;
}

}  // namespace

TEST("Linux: reserved memory is inaccessible, committed memory is not, decommitted memory is again") {
  Pipe pipe;
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(4 * page, page).value();
  CHECK(is_mapped(start));
  CHECK(!pipe.can_read(start));
  CHECK(!pipe.can_write(start));
  CHECK(os::commit(start, 2 * page).ok());
  CHECK(pipe.can_read(start) && pipe.can_write(start));
  CHECK(pipe.can_read(start + 2 * page - 1));
  CHECK(!pipe.can_read(start + 2 * page));
  CHECK(os::decommit(start, page).ok());
  CHECK(!pipe.can_read(start) && !pipe.can_write(start));
  CHECK(pipe.can_read(start + page));
  CHECK(os::release(start, 4 * page).ok());
}

TEST("Linux: released memory is gone") {
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(kMiB, 64 * kMiB).value();
  CHECK(is_mapped(start) && is_mapped(start + kMiB - page));
  CHECK(os::release(start, kMiB).ok());
  CHECK(!is_mapped(start) && !is_mapped(start + kMiB - page));
}

TEST("Linux: an aligned reservation maps nothing beyond what was asked for") {
  const std::size_t page = os::page_size();
  for (int repeat = 0; repeat < 4; ++repeat) {
    std::byte* const start = os::reserve(kMiB, 512 * kMiB).value();
    // The neighbours may be somebody else's by chance, both of them every time they are not.
    const bool before = is_mapped(start - page);
    const bool after = is_mapped(start + kMiB);
    CHECK(!before || !after);
    CHECK(os::release(start, kMiB).ok());
  }
}

TEST("Linux: what the kernel refuses to cut off a padded reservation is given back by the next one") {
  constexpr std::size_t kAlign = 1024 * kMiB;
  const std::size_t page = os::page_size();
  std::byte* const above = os::reserve(page, kAlign).value();
  // In the way of the next guess, which is just below the last reservation; if it does not get that place, something
  // else is in the way already.
  void* const obstacle =
      ::mmap(above - kAlign, page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
  const auto before = count_reservations();
  os::faults::fail(os::Call::kRelease, 1, os::faults::kForever);
  std::byte* const padded = os::reserve(page, kAlign).value();
  CHECK(heap::is_aligned(padded, kAlign));
  const auto refused = os::faults::refused();
  os::faults::clear();
  CHECK(refused >= 2);
  const auto releases = kernel_calls(os::Call::kRelease);
  std::byte* const next = os::reserve(page, page).value();
  CHECK(kernel_calls(os::Call::kRelease) - releases >= refused);
  for (std::byte* const start : {above, padded, next}) CHECK(os::release(start, page).ok());
  if (obstacle != MAP_FAILED) CHECK(::munmap(obstacle, page) == 0);
  CHECK(count_reservations() <= before);
}

TEST("Linux: committed memory costs nothing until it is touched, and nothing after it is discarded or decommitted") {
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(4 * page, page).value();
  CHECK(os::commit(start, 4 * page).ok());
  CHECK(!is_resident(start));
  fill_pattern(start, 4 * page, 1);
  CHECK(is_resident(start));
  CHECK(os::advise(start, page, os::Advice::kDiscard).ok());
  CHECK(!is_resident(start));
  CHECK(os::decommit(start + page, page).ok());
  CHECK(!is_resident(start + page));
  CHECK(is_resident(start + 2 * page));
  CHECK(os::release(start, 4 * page).ok());
}

TEST("Linux: protection is what was asked for") {
  Pipe pipe;
  const std::size_t page = os::page_size();
  std::byte* const start = os::reserve(page, page).value();
  CHECK(os::commit(start, page).ok());
  CHECK(os::protect(start, page, os::Access::kRead).ok());
  CHECK(pipe.can_read(start) && !pipe.can_write(start));
  CHECK(os::protect(start, page, os::Access::kNone).ok());
  CHECK(!pipe.can_read(start) && !pipe.can_write(start));
  CHECK(os::protect(start, page, os::Access::kReadWrite).ok());
  CHECK(pipe.can_read(start) && pipe.can_write(start));
  CHECK(os::release(start, page).ok());
}

TEST("Linux: moved pages leave an empty range that is still reserved") {
  const std::size_t bytes = 16 * os::page_size();
  std::byte* const from = os::reserve(bytes, os::page_size()).value();
  std::byte* const to = os::reserve(bytes, os::page_size()).value();
  CHECK(os::commit(from, bytes).ok() && os::commit(to, bytes).ok());
  fill_pattern(from, bytes, 9);
  const auto moved = os::move(from, to, bytes);
  if (!moved.ok()) skip("this kernel does not move pages");
  CHECK(has_pattern(to, bytes, 9));
  CHECK(is_resident(to));
  CHECK(os::commit(from, bytes).ok());
  CHECK(!is_resident(from));
  CHECK(is_zero(from, bytes));
  CHECK(os::release(from, bytes).ok() && os::release(to, bytes).ok());
}

TEST("Linux: a refused move leaves a target that can be written, also when the kernel has unmapped it") {
  const std::size_t page = os::page_size();
  const std::size_t bytes = 16 * page;
  std::byte* const from = os::reserve(bytes, page).value();
  std::byte* const to = os::reserve(bytes, page).value();
  CHECK(os::commit(from, bytes).ok() && os::commit(to, bytes).ok());
  fill_pattern(from, bytes, 9);
  os::faults::fail(os::Call::kMove, 1);
  CHECK_EQ(os::move(from, to, bytes).error().call, os::Call::kMove);
  CHECK(has_pattern(from, bytes, 9));
  fill_pattern(to, bytes, 10);
  CHECK(has_pattern(to, bytes, 10));
  CHECK(os::release(from, bytes).ok() && os::release(to, bytes).ok());
}

TEST("Linux: the metadata of a region, the gap after it and its pages share no access") {
  Pipe pipe;
  OwnHeap heap;
  const Held held = hold(*heap, 64);
  heap::Region* const region = heap->regions();
  CHECK(pipe.can_read(region->start()));
  CHECK(pipe.can_read(region->start() + region->committed_metadata - 1));
  CHECK(!pipe.can_read(region->start() + region->committed_metadata));
  CHECK(!pipe.can_read(region->start() + heap::kRegionMetadataBytes - 1));
  CHECK(region->start() + heap::kRegionMetadataBytes == held.address);
  CHECK(pipe.can_read(held.address));
  CHECK(!pipe.can_read(region->address_of(region->committed_pages)));
}

TEST("Linux: a huge block at addresses used before takes no memory until it is touched, zeroed or not") {
  constexpr std::size_t kSize = 100 * kMiB;
  OwnHeap heap({.keep_addresses = true});
  for (const Fill fill : {Fill::kZero, Fill::kAnything, Fill::kZero}) {
    std::byte* const address = heap->allocate(layout(kSize), fill).value().address;
    for (std::size_t offset = 0; offset < kSize; offset += 10 * kMiB) CHECK(!is_resident(address + offset));
    CHECK(is_zero(address, kMiB));
    fill_pattern(address, kSize, 1);
    CHECK(heap->free(address, kSize).ok());
    // Somebody who still works on it.
    address[50 * kMiB] = std::byte{9};
  }
  (void)heap::release_retry::release_parked();
}

TEST("Linux: a huge block ends where its pages end") {
  Pipe pipe;
  OwnHeap heap;
  const auto block = heap->allocate(layout(20 * kMiB), Fill::kAnything);
  std::byte* const address = block.value().address;
  CHECK(pipe.can_write(address) && pipe.can_write(address + block.value().usable - 1));
  CHECK(!pipe.can_read(address + block.value().usable));
  CHECK(!pipe.can_read(address - 1));
  CHECK(heap->free(address, 20 * kMiB).ok());
  CHECK(!is_mapped(address));
}

}  // namespace offheap::test
#endif
