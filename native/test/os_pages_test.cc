// What native/os promises on every system. What can only be seen from inside one system is in os_pages_linux_test.cc.
#include <cerrno>
#include <cstring>
#include <string>

#include "os/clock.h"
#include "os/pages.h"
#include "test/heaps.h"

namespace offheap::test {

using os::Call;

namespace {

// A reservation that is released when the test ends.
class Reserved {
 public:
  explicit Reserved(std::size_t bytes, std::size_t align = os::allocation_granularity()) : bytes_(bytes) {
    const auto made = os::reserve(bytes, align);
    CHECK(made.ok());
    start_ = made.value();
  }
  ~Reserved() { (void)os::release(start_, bytes_).ok(); }
  Reserved(const Reserved&) = delete;
  Reserved& operator=(const Reserved&) = delete;
  [[nodiscard]] std::byte* start() const { return start_; }

 private:
  std::byte* start_ = nullptr;
  std::size_t bytes_;
};

}  // namespace

TEST("the page size is 4, 16 or 64 KiB and divides the allocation granularity") {
  const std::size_t page = os::page_size();
  CHECK(page == 4 * kKiB || page == 16 * kKiB || page == 64 * kKiB);
  CHECK_EQ(os::allocation_granularity() % page, 0U);
  CHECK(64 * kKiB % os::allocation_granularity() == 0);
}

TEST("reserved address space is aligned as asked, for every alignment up to 256 MiB") {
  for (std::size_t align = os::allocation_granularity(); align <= 256 * kMiB; align *= 2) {
    for (int repeat = 0; repeat < 3; ++repeat) {
      const Reserved reserved(kMiB, align);
      CHECK(heap::is_aligned(reserved.start(), align));
    }
  }
}

TEST("a second aligned reservation below the first is one kernel call on POSIX") {
#ifdef _WIN32
  skip("Windows finds an aligned range by probing");
#endif
  constexpr int kReservations = 8;
  std::byte* starts[kReservations] = {};
  starts[0] = os::reserve(64 * kMiB, 64 * kMiB).value();
  const auto calls = kernel_calls();
  for (int index = 1; index < kReservations; ++index) starts[index] = os::reserve(64 * kMiB, 64 * kMiB).value();
  CHECK(kernel_calls() - calls <= kReservations + 3);  // one wrong guess at most
  for (std::byte* const start : starts) CHECK(os::release(start, 64 * kMiB).ok());
}

TEST("committed pages read zero and keep what is written, also when they are committed again") {
  const std::size_t page = os::page_size();
  const Reserved reserved(16 * page, os::allocation_granularity());
  CHECK(os::commit(reserved.start(), 4 * page).ok());
  CHECK(is_zero(reserved.start(), 4 * page));
  fill_pattern(reserved.start(), 4 * page, 1);
  CHECK(os::commit(reserved.start(), 16 * page).ok());
  CHECK(has_pattern(reserved.start(), 4 * page, 1));
  CHECK(is_zero(reserved.start() + 4 * page, 12 * page));
}

TEST("decommitted pages read zero when they are committed again, and their neighbours keep theirs") {
  const std::size_t page = os::page_size();
  const Reserved reserved(8 * page);
  CHECK(os::commit(reserved.start(), 8 * page).ok());
  fill_pattern(reserved.start(), 8 * page, 2);
  CHECK(os::decommit(reserved.start() + 2 * page, 3 * page).ok());
  CHECK(os::commit(reserved.start() + 2 * page, 3 * page).ok());
  CHECK(has_pattern(reserved.start(), 2 * page, 2));
  CHECK(is_zero(reserved.start() + 2 * page, 3 * page));
  CHECK_EQ(pattern_ends(reserved.start(), 8 * page, 2), 2 * page);
}

TEST("discarded pages stay accessible and can be written again") {
  const std::size_t page = os::page_size();
  const Reserved reserved(4 * page);
  CHECK(os::commit(reserved.start(), 4 * page).ok());
  fill_pattern(reserved.start(), 4 * page, 3);
  CHECK(os::advise(reserved.start(), 4 * page, os::Advice::kDiscard).ok());
  fill_pattern(reserved.start(), 4 * page, 4);
  CHECK(has_pattern(reserved.start(), 4 * page, 4));
}

TEST("protected pages can be read, and written again when the protection ends") {
  const std::size_t page = os::page_size();
  const Reserved reserved(page);
  CHECK(os::commit(reserved.start(), page).ok());
  fill_pattern(reserved.start(), page, 5);
  CHECK(os::protect(reserved.start(), page, os::Access::kRead).ok());
  CHECK(has_pattern(reserved.start(), page, 5));
  CHECK(os::protect(reserved.start(), page, os::Access::kNone).ok());
  CHECK(os::protect(reserved.start(), page, os::Access::kReadWrite).ok());
  fill_pattern(reserved.start(), page, 6);
  CHECK(has_pattern(reserved.start(), page, 6));
}

TEST("moved pages take their contents with them, or nothing has moved") {
  const std::size_t bytes = 64 * os::page_size();
  const Reserved from(bytes);
  const Reserved to(bytes);
  CHECK(os::commit(from.start(), bytes).ok());
  CHECK(os::commit(to.start(), bytes).ok());
  fill_pattern(from.start(), bytes, 7);
  if (os::move(from.start(), to.start(), bytes).ok()) {
    CHECK(has_pattern(to.start(), bytes, 7));
  } else {
    CHECK(has_pattern(from.start(), bytes, 7));
    CHECK(is_zero(to.start(), bytes));
  }
}

TEST("a reservation no kernel can give is refused with the call and a number that has words") {
  for (const std::size_t bytes : {std::size_t{1} << 60, ~std::size_t{0} & ~(64 * kMiB - 1)}) {
    const auto made = os::reserve(bytes, 64 * kMiB);
    CHECK(!made.ok());
    CHECK_EQ(made.error().call, Call::kReserve);
    CHECK(made.error().number != 0);
    char words[200] = "";
    os::describe(made.error(), words, sizeof words);
    CHECK(std::strlen(words) > 5);
    char few[4] = "";
    os::describe(made.error(), few, sizeof few);
    CHECK(std::strlen(few) < 4);
  }
}

TEST("what is no whole pages is refused on POSIX, and changes nothing") {
#ifdef _WIN32
  skip("Windows takes the pages that hold some of it");
#endif
  const std::size_t page = os::page_size();
  const std::size_t half = page / 2;
  const Reserved reserved(4 * page);
  const Reserved other(4 * page);
  std::byte* const start = reserved.start();
  CHECK(os::commit(start, 4 * page).ok());
  CHECK(os::commit(other.start(), 4 * page).ok());
  fill_pattern(start, 4 * page, 8);
  const auto check_refused = [&](const auto& call) {
    CHECK_EQ(call(start + half, page).error().number, EINVAL);
    CHECK_EQ(call(start, page + half).error().number, EINVAL);
    CHECK(has_pattern(start, 4 * page, 8));
  };
  check_refused(os::commit);
  check_refused(os::decommit);
  check_refused(os::discard);
  check_refused(os::release);
  check_refused([](auto from, auto bytes) { return os::protect(from, bytes, os::Access::kNone); });
  check_refused([](auto from, auto bytes) { return os::advise(from, bytes, os::Advice::kDiscard); });
#ifdef __linux__
  check_refused([&](auto from, auto bytes) { return os::move(from, other.start(), bytes); });
  check_refused([&](auto from, auto bytes) { return os::move(other.start(), from, bytes); });
#endif
  CHECK_EQ(os::reserve(page + half, page).error().number, EINVAL);
}

TEST("every kind of kernel call has a name") {
  for (std::size_t kind = 0; kind < os::kCallKinds; ++kind) {
    CHECK(std::string(os::function_name(static_cast<Call>(kind))) != "?");
  }
}

TEST("every kernel call is counted under its kind") {
  const std::size_t page = os::page_size();
  const auto one_more = [](Call call, auto make_call) {
    const auto before = kernel_calls(call);
    make_call();
    CHECK_EQ(kernel_calls(call), before + 1);
  };
  std::byte* const start = os::reserve(page, os::allocation_granularity()).value();
  one_more(Call::kCommit, [&] { CHECK(os::commit(start, page).ok()); });
  one_more(Call::kProtect, [&] { CHECK(os::protect(start, page, os::Access::kRead).ok()); });
  one_more(Call::kProtect, [&] { CHECK(os::protect(start, page, os::Access::kReadWrite).ok()); });
  one_more(Call::kAdvise, [&] { CHECK(os::advise(start, page, os::Advice::kDiscard).ok()); });
  one_more(Call::kDecommit, [&] { CHECK(os::decommit(start, page).ok()); });
  one_more(Call::kRelease, [&] { CHECK(os::release(start, page).ok()); });
}

TEST("the clock never goes back") {
  std::uint64_t before = os::monotonic_milliseconds();
  for (int reading = 0; reading < 100'000; ++reading) {
    const std::uint64_t now = os::monotonic_milliseconds();
    CHECK(now >= before);
    before = now;
  }
}

}  // namespace offheap::test
