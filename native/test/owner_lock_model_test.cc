// The steps of heap/owner_lock.h as a small machine, and every order in which its threads can take them, with what a
// processor does to the order of stores: each thread has a queue of stores that nobody else sees yet, from which they
// leave one by one at any later moment (x86-TSO). An exchange waits until the queue of its thread is empty. The
// kernel's fence empties the queue of every other thread, one after the other, before the call returns. That no load or
// store moves otherwise is what the memory orders in the header are for, and what ThreadSanitizer looks at.
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "test/check.h"

namespace offheap::test {

namespace {

constexpr std::size_t kThreads = 3;
constexpr std::size_t kOwner = 0;
constexpr std::size_t kQueue = 4;

// How the protocol is changed.
enum class Variant : std::uint8_t {
  kNone,
  kOwnFences,           // no help from the kernel: both sides announce with an exchange
  kNoFence,             // step c left out
  kFenceBeforeWanted,   // c before b
  kOwnerLooksFirst,     // 2 before 1
  kOwnerSleepsInside,   // the owner stands back without saying so
  kOthersDoNotWait,     // d left out
  kOthersDoNotLock,     // a left out
  kWantedLeftStanding,  // e left out
  kWantedIsStored,      // no help from the kernel, and only the owner fences itself
};

// The memory the threads share. kData is what the lock guards: each section adds one to it, in two steps.
enum Place : std::uint8_t { kInside, kWanted, kOthers, kData, kPlaces };

enum class Step : std::uint8_t {
  // The owner's
  kAnnounce,
  kLook,
  kStandBack,
  kSleep,
  kEnter,
  kGiveLockBack,
  // The others'
  kLock,
  kWant,
  kAskForFence,
  kAwaitFence,
  kAwaitOwner,
  kWantNoMore,
  kUnlock,
  // Everybody's
  kRead,
  kWrite,
  kLeave,
  kNext,
};

struct Store {
  std::uint8_t place = 0;
  std::uint8_t value = 0;
};

struct Thread {
  Step step = Step::kNext;
  std::uint8_t sections_left = 0;
  std::uint8_t seen = 0;    // what it read of kData
  std::uint8_t inside = 0;  // it works on what the lock guards
  std::uint8_t stores = 0;
  std::array<Store, kQueue> queue{};  // oldest first
};

// Plain bytes, so that states can be compared and remembered as such.
struct State {
  std::array<std::uint8_t, kPlaces> memory{};
  std::array<Thread, kThreads> threads{};
  std::uint8_t fences_asked = 0;  // a bit for each thread the kernel has yet to fence
};

class Explorer {
 public:
  Explorer(Variant variant, std::array<std::uint8_t, kThreads> sections) : variant_(variant) {
    State start;
    for (std::size_t index = 0; index < kThreads; ++index) {
      start.threads[index].sections_left = sections[index];
      all_sections_ = static_cast<std::uint8_t>(all_sections_ + sections[index]);
    }
    visit(start);
  }

  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  [[nodiscard]] std::size_t states() const { return seen_.size(); }
  [[nodiscard]] std::size_t ends() const { return ends_; }

 private:
  void visit(const State& start) {
    std::vector<State> open{start};
    while (!open.empty() && wrong_.empty()) {
      const State state = open.back();
      open.pop_back();
      std::string key(sizeof(State), '\0');
      std::memcpy(key.data(), &state, sizeof(State));
      if (!seen_.insert(std::move(key)).second) continue;
      check(state);
      const std::size_t before = open.size();
      for (std::size_t self = 0; self < kThreads; ++self) {
        State after = state;
        if (step(after, self)) open.push_back(after);
        if (state.threads[self].stores > 0) {
          after = state;
          one_store_leaves(after, self);
          open.push_back(after);
        }
        if ((state.fences_asked >> self & 1) != 0) {
          after = state;
          fence(after, self);
          open.push_back(after);
        }
      }
      if (open.size() == before) check_end(state);
    }
  }

  // --- The machine.

  static void one_store_leaves(State& state, std::size_t self) {
    Thread& thread = state.threads[self];
    state.memory[thread.queue[0].place] = thread.queue[0].value;
    for (std::size_t index = 1; index < kQueue; ++index) thread.queue[index - 1] = thread.queue[index];
    thread.queue[kQueue - 1] = {};
    --thread.stores;
  }

  static void fence(State& state, std::size_t self) {
    while (state.threads[self].stores > 0) one_store_leaves(state, self);
    state.fences_asked = static_cast<std::uint8_t>(state.fences_asked & ~(1U << self));
  }

  [[nodiscard]] static std::uint8_t load(const State& state, std::size_t self, Place place) {
    const Thread& thread = state.threads[self];
    // What the thread itself stored last comes first.
    for (std::size_t index = thread.stores; index > 0; --index) {
      if (thread.queue[index - 1].place == place) return thread.queue[index - 1].value;
    }
    return state.memory[place];
  }

  [[nodiscard]] static bool store(State& state, std::size_t self, Place place, std::uint8_t value) {
    Thread& thread = state.threads[self];
    if (thread.stores == kQueue) return false;
    thread.queue[thread.stores++] = {place, value};
    return true;
  }

  // --- The protocol. A step that cannot be taken yet is none.

  [[nodiscard]] bool owner_fences_itself() const { return !kernel_helps() && variant_ != Variant::kNoFence; }
  [[nodiscard]] bool kernel_helps() const {
    return variant_ != Variant::kOwnFences && variant_ != Variant::kWantedIsStored && variant_ != Variant::kNoFence;
  }
  [[nodiscard]] Step first_step(std::size_t self) const {
    if (self == kOwner) return variant_ == Variant::kOwnerLooksFirst ? Step::kLook : Step::kAnnounce;
    return variant_ == Variant::kOthersDoNotLock ? after_lock() : Step::kLock;
  }
  [[nodiscard]] Step after_lock() const {
    return variant_ == Variant::kFenceBeforeWanted ? Step::kAskForFence : Step::kWant;
  }
  [[nodiscard]] Step after_want() const {
    return variant_ != Variant::kFenceBeforeWanted && kernel_helps() ? Step::kAskForFence : after_both();
  }
  [[nodiscard]] Step after_fence() const {
    return variant_ == Variant::kFenceBeforeWanted ? Step::kWant : after_both();
  }
  [[nodiscard]] Step after_both() const {
    return variant_ == Variant::kOthersDoNotWait ? Step::kRead : Step::kAwaitOwner;
  }

  [[nodiscard]] bool step(State& state, std::size_t self) const {
    Thread& thread = state.threads[self];
    switch (thread.step) {
      case Step::kNext:
        if (thread.sections_left == 0) return false;
        --thread.sections_left;
        thread.step = first_step(self);
        return true;

      case Step::kAnnounce:
        if (owner_fences_itself()) {
          if (thread.stores > 0) return false;
          state.memory[kInside] = 1;
        } else if (!store(state, self, kInside, 1)) {
          return false;
        }
        thread.step = variant_ == Variant::kOwnerLooksFirst ? Step::kRead : Step::kLook;
        return true;
      case Step::kLook:
        thread.step = load(state, self, kWanted) == 0
                          ? (variant_ == Variant::kOwnerLooksFirst ? Step::kAnnounce : Step::kRead)
                          : (variant_ == Variant::kOwnerSleepsInside ? Step::kSleep : Step::kStandBack);
        return true;
      case Step::kStandBack:
        if (!store(state, self, kInside, 0)) return false;
        thread.step = Step::kSleep;
        return true;
      case Step::kSleep:
        if (thread.stores > 0 || state.memory[kOthers] != 0) return false;
        state.memory[kOthers] = 1;
        thread.step = Step::kEnter;
        return true;
      case Step::kEnter:
        if (!store(state, self, kInside, 1)) return false;
        thread.step = Step::kGiveLockBack;
        return true;
      case Step::kGiveLockBack:
        if (!store(state, self, kOthers, 0)) return false;
        thread.step = Step::kRead;
        return true;

      case Step::kLock:
        if (thread.stores > 0 || state.memory[kOthers] != 0) return false;
        state.memory[kOthers] = 1;
        thread.step = after_lock();
        return true;
      case Step::kWant:
        if (variant_ == Variant::kWantedIsStored) {
          if (!store(state, self, kWanted, 1)) return false;
        } else if (thread.stores > 0) {
          return false;
        } else {
          state.memory[kWanted] = 1;
        }
        thread.step = after_want();
        return true;
      case Step::kAskForFence:
        state.fences_asked = static_cast<std::uint8_t>(((1U << kThreads) - 1) & ~(1U << self));
        thread.step = Step::kAwaitFence;
        return true;
      case Step::kAwaitFence:
        if (state.fences_asked != 0) return false;
        thread.step = after_fence();
        return true;
      case Step::kAwaitOwner:
        if (load(state, self, kInside) != 0) return false;
        thread.step = Step::kRead;
        return true;

      case Step::kRead:
        thread.inside = 1;
        thread.seen = load(state, self, kData);
        thread.step = Step::kWrite;
        return true;
      case Step::kWrite:
        if (!store(state, self, kData, static_cast<std::uint8_t>(thread.seen + 1))) return false;
        thread.seen = 0;
        thread.step = Step::kLeave;
        return true;
      case Step::kLeave:
        thread.inside = 0;
        if (self == kOwner) {
          if (!store(state, self, kInside, 0)) return false;
          thread.step = Step::kNext;
        } else {
          thread.step = Step::kWantNoMore;
        }
        return true;

      case Step::kWantNoMore:
        if (variant_ != Variant::kWantedLeftStanding && !store(state, self, kWanted, 0)) return false;
        thread.step = variant_ == Variant::kOthersDoNotLock ? Step::kNext : Step::kUnlock;
        return true;
      case Step::kUnlock:
        if (!store(state, self, kOthers, 0)) return false;
        thread.step = Step::kNext;
        return true;
    }
    return false;
  }

  // --- What must be true.

  void check(const State& state) {
    int inside = 0;
    for (const Thread& thread : state.threads) inside += thread.inside;
    if (inside > 1) wrong_ = "two threads work at once";
  }

  // Nobody can take a step any more, and every store has left its queue.
  void check_end(const State& state) {
    ++ends_;
    for (const Thread& thread : state.threads) {
      if (thread.sections_left > 0 || thread.step != Step::kNext) wrong_ = "a thread waits for ever";
    }
    if (!wrong_.empty()) return;
    if (state.memory[kData] != all_sections_) wrong_ = "what one thread did was not seen by the next";
    if (state.memory[kInside] != 0 || state.memory[kWanted] != 0 || state.memory[kOthers] != 0) {
      wrong_ = "the lock is not free at the end";
    }
  }

  Variant variant_;
  std::uint8_t all_sections_ = 0;
  std::unordered_set<std::string> seen_;
  std::size_t ends_ = 0;
  std::string wrong_;
};

// How often the owner and each of the others work.
const std::vector<std::array<std::uint8_t, kThreads>>& scenarios() {
  static const std::vector<std::array<std::uint8_t, kThreads>> all{{1, 1, 0}, {2, 2, 0}, {0, 2, 2}, {1, 1, 1},
                                                                   {2, 1, 1}, {3, 2, 1}, {2, 2, 2}};
  return all;
}

// The first thing that goes wrong in any scenario, or nothing.
[[nodiscard]] std::string first_wrong(Variant variant) {
  for (const auto& sections : scenarios()) {
    const Explorer explored(variant, sections);
    if (!explored.wrong().empty()) return explored.wrong();
  }
  return {};
}

void check_holds(Variant variant) {
  for (const auto& sections : scenarios()) {
    const Explorer explored(variant, sections);
    CHECK_EQ(explored.wrong(), std::string());
    CHECK(explored.states() > 40);
    CHECK(explored.ends() > 0);
  }
}

const std::string kTwoAtOnce = "two threads work at once";
const std::string kForEver = "a thread waits for ever";

}  // namespace

TEST("in every order of steps and stores one thread works at a time, sees what was done before, and all get through") {
  check_holds(Variant::kNone);
}

TEST("the same is true where both sides fence themselves") { check_holds(Variant::kOwnFences); }

TEST("the lock's model catches another thread that leaves out the fence") {
  CHECK_EQ(first_wrong(Variant::kNoFence), kTwoAtOnce);
}

TEST("the lock's model catches another thread that fences before it says what it wants") {
  CHECK_EQ(first_wrong(Variant::kFenceBeforeWanted), kTwoAtOnce);
}

TEST("the lock's model catches another thread that does not fence itself where the kernel does not") {
  CHECK(!first_wrong(Variant::kWantedIsStored).empty());
}

TEST("the lock's model catches an owner that looks before it announces") {
  CHECK_EQ(first_wrong(Variant::kOwnerLooksFirst), kTwoAtOnce);
}

TEST("the lock's model catches an owner that goes to sleep inside") {
  CHECK_EQ(first_wrong(Variant::kOwnerSleepsInside), kForEver);
}

TEST("the lock's model catches another thread that does not wait for the owner") {
  CHECK_EQ(first_wrong(Variant::kOthersDoNotWait), kTwoAtOnce);
}

TEST("the lock's model catches others that do not exclude each other") {
  CHECK_EQ(first_wrong(Variant::kOthersDoNotLock), kTwoAtOnce);
}

TEST("the lock's model catches another thread that goes and leaves standing what it wanted") {
  CHECK_EQ(first_wrong(Variant::kWantedLeftStanding), std::string("the lock is not free at the end"));
}

}  // namespace offheap::test
