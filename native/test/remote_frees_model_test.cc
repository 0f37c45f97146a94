// The protocol of heap/remote_frees.h as a small machine, and every order in which its threads can take their steps.
// One step is one access to shared memory, in the order the header gives; what is proved holds for those steps taken
// one at a time. That the hardware may not reorder them is what the memory orders in the header are for, and what
// ThreadSanitizer looks at.
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "test/check.h"

namespace offheap::test {

namespace {

constexpr std::uint8_t kNobody = 0xFF;
constexpr std::size_t kSpans = 2;
constexpr std::size_t kMostFreers = 3;

// What the owner does in another order than it should.
enum class Mutation : std::uint8_t {
  kNone,
  kPendingClearedAfterBits,  // (c) before (b)
  kNextReadAfterPending,     // span.next_pending read after pending = false
  kListedBeforeBit,          // step 2 before step 1
};

struct Free {
  std::uint8_t span;
  std::uint8_t cell;
};

struct Scenario {
  std::vector<std::vector<Free>> freers;  // what each thread frees, in order
  std::uint8_t collections = 2;
};

enum class FreerStep : std::uint8_t { kSetBit, kExchangePending, kLoadHead, kLink, kSwap, kSetBitLate, kNextFree };

struct Freer {
  std::uint8_t free = 0;  // which of its frees
  FreerStep step = FreerStep::kSetBit;
  std::uint8_t head = kNobody;  // as last read
};

enum class OwnerStep : std::uint8_t { kTakeList, kReadNext, kClearPending, kTakeBits, kAdvance };

struct Owner {
  std::uint8_t collections_left = 0;
  OwnerStep step = OwnerStep::kTakeList;
  std::uint8_t node = kNobody;
  std::uint8_t next = kNobody;
  std::uint8_t walked = 0;  // nodes of this list so far
};

// Plain bytes, so that states can be compared and remembered as such.
struct State {
  std::array<std::uint8_t, kSpans> bits{};
  std::array<std::uint8_t, kSpans> pending{};
  std::array<std::uint8_t, kSpans> next{kNobody, kNobody};
  std::uint8_t head = kNobody;
  std::array<Freer, kMostFreers> freers{};
  Owner owner{};
  std::array<std::uint8_t, kSpans> collected{};  // cells the owner has got
  std::array<std::uint8_t, kSpans> accepted{};   // cells whose free was said to be done
  std::uint8_t refused = 0;                      // frees refused as second ones
  std::uint8_t wrong = 0;                        // a cell collected twice, or a list that does not end
};

class Explorer {
 public:
  Explorer(const Scenario& scenario, Mutation mutation) : scenario_(scenario), mutation_(mutation) {
    State start;
    start.owner.collections_left = scenario.collections;
    for (Freer& freer : start.freers) freer.step = first_step();
    visit(start);
  }

  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  [[nodiscard]] std::size_t states() const { return seen_.size(); }
  [[nodiscard]] std::size_t ends() const { return ends_; }

 private:
  [[nodiscard]] FreerStep first_step() const {
    return mutation_ == Mutation::kListedBeforeBit ? FreerStep::kExchangePending : FreerStep::kSetBit;
  }

  void visit(const State& start) {
    std::vector<State> open{start};
    while (!open.empty() && wrong_.empty()) {
      const State state = open.back();
      open.pop_back();
      std::string key(sizeof(State), '\0');
      std::memcpy(key.data(), &state, sizeof(State));
      if (!seen_.insert(std::move(key)).second) continue;
      if (state.wrong != 0) {
        wrong_ = "a cell was collected twice, or the list does not end";
        return;
      }
      bool all_freed = true;
      for (std::size_t index = 0; index < scenario_.freers.size(); ++index) {
        if (state.freers[index].free == scenario_.freers[index].size()) continue;
        all_freed = false;
        State after = state;
        step(after, after.freers[index], scenario_.freers[index]);
        open.push_back(after);
      }
      if (state.owner.collections_left > 0) {
        State after = state;
        step_owner(after);
        open.push_back(after);
      } else if (all_freed) {
        check_end(state);
      }
    }
  }

  void step(State& state, Freer& freer, const std::vector<Free>& frees) const {
    const Free free = frees[freer.free];
    const auto bit = static_cast<std::uint8_t>(1U << free.cell);
    const auto set_bit = [&] {
      if ((state.bits[free.span] & bit) != 0) {
        ++state.refused;
        return false;
      }
      state.bits[free.span] |= bit;
      state.accepted[free.span] |= bit;
      return true;
    };
    const auto through = [&] {
      ++freer.free;
      freer.step = first_step();
      freer.head = kNobody;
    };
    const FreerStep listed = mutation_ == Mutation::kListedBeforeBit ? FreerStep::kSetBitLate : FreerStep::kNextFree;
    switch (freer.step) {
      case FreerStep::kSetBit:
        if (!set_bit()) return through();
        freer.step = FreerStep::kExchangePending;
        return;
      case FreerStep::kExchangePending: {
        const bool was = state.pending[free.span] != 0;
        state.pending[free.span] = 1;
        freer.step = was ? listed : FreerStep::kLoadHead;
        break;
      }
      case FreerStep::kLoadHead:
        freer.head = state.head;
        freer.step = FreerStep::kLink;
        return;
      case FreerStep::kLink:
        state.next[free.span] = freer.head;
        freer.step = FreerStep::kSwap;
        return;
      case FreerStep::kSwap:
        if (state.head == freer.head) {
          state.head = free.span;
          freer.step = listed;
        } else {
          freer.head = state.head;
          freer.step = FreerStep::kLink;
        }
        break;
      case FreerStep::kSetBitLate:
        (void)set_bit();
        return through();
      case FreerStep::kNextFree:
        break;
    }
    if (freer.step == FreerStep::kNextFree) through();
  }

  void step_owner(State& state) const {
    Owner& owner = state.owner;
    const bool bits_first = mutation_ == Mutation::kPendingClearedAfterBits;
    const bool pending_first = mutation_ == Mutation::kNextReadAfterPending;
    switch (owner.step) {
      case OwnerStep::kTakeList:
        owner.node = state.head;
        owner.walked = 0;
        state.head = kNobody;
        start_node(owner, bits_first, pending_first);
        return;
      case OwnerStep::kReadNext:
        owner.next = state.next[owner.node];
        owner.step = pending_first ? OwnerStep::kTakeBits
                     : bits_first  ? OwnerStep::kTakeBits
                                   : OwnerStep::kClearPending;
        return;
      case OwnerStep::kClearPending:
        state.pending[owner.node] = 0;
        owner.step = bits_first ? OwnerStep::kAdvance : pending_first ? OwnerStep::kReadNext : OwnerStep::kTakeBits;
        break;
      case OwnerStep::kTakeBits:
        if ((state.collected[owner.node] & state.bits[owner.node]) != 0) state.wrong = 1;
        state.collected[owner.node] |= state.bits[owner.node];
        state.bits[owner.node] = 0;
        owner.step = bits_first ? OwnerStep::kClearPending : OwnerStep::kAdvance;
        break;
      case OwnerStep::kAdvance:
        break;
    }
    if (owner.step == OwnerStep::kAdvance) {
      owner.node = owner.next;
      // A node may be in one list once.
      if (++owner.walked > kSpans) {
        state.wrong = 1;
        owner.node = kNobody;
      }
      start_node(owner, bits_first, pending_first);
    }
  }

  static void start_node(Owner& owner, bool /*bits_first*/, bool pending_first) {
    owner.next = kNobody;
    if (owner.node == kNobody) {
      --owner.collections_left;
      owner.step = OwnerStep::kTakeList;
      owner.walked = 0;
      return;
    }
    owner.step = pending_first ? OwnerStep::kClearPending : OwnerStep::kReadNext;
  }

  // Everybody is through. One more collection, alone, must find all that is left.
  void check_end(State state) {
    ++ends_;
    state.owner.collections_left = 1;
    state.owner.step = OwnerStep::kTakeList;
    while (state.owner.collections_left > 0 && state.wrong == 0) step_owner(state);
    if (state.wrong != 0) wrong_ = "a cell was collected twice, or the list does not end";
    for (std::size_t span = 0; span < kSpans; ++span) {
      if (state.collected[span] != state.accepted[span]) wrong_ = "what was collected is not what was freed";
      if (state.pending[span] != 0) wrong_ = "a span is pending and in no list";
      if (state.bits[span] != 0) wrong_ = "a bit was set and nobody will collect it";
    }
    if (state.head != kNobody) wrong_ = "the list is not empty";
    const std::size_t accepted = count(state.accepted[0]) + count(state.accepted[1]);
    std::size_t asked = 0;
    for (const auto& frees : scenario_.freers) asked += frees.size();
    if (accepted + state.refused != asked) wrong_ = "a free was neither done nor refused";
  }

  static std::size_t count(std::uint8_t bits) {
    std::size_t set = 0;
    for (; bits != 0; bits = static_cast<std::uint8_t>(bits & (bits - 1))) ++set;
    return set;
  }

  const Scenario& scenario_;
  Mutation mutation_;
  std::unordered_set<std::string> seen_;
  std::size_t ends_ = 0;
  std::string wrong_;
};

// Two and three threads; the same span, different spans, and one after the other.
const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all{
      {.freers = {{{0, 0}}, {{0, 1}}}},
      {.freers = {{{0, 0}}, {{1, 0}}}},
      {.freers = {{{0, 0}, {1, 0}}, {{0, 1}, {1, 1}}}},
      {.freers = {{{0, 0}, {1, 0}}, {{1, 1}, {0, 1}}}},
      {.freers = {{{0, 0}, {0, 1}}, {{0, 2}, {0, 3}}}},
      {.freers = {{{0, 0}}, {{0, 1}}, {{0, 2}}}},
      {.freers = {{{0, 0}}, {{0, 1}}, {{1, 0}}}},
      {.freers = {{{0, 0}, {1, 0}}, {{0, 1}}, {{1, 1}}}},
      {.freers = {{{0, 0}, {1, 0}, {0, 2}}, {{1, 1}, {0, 1}}}, .collections = 3},
  };
  return all;
}

// The first thing that goes wrong in any scenario, or nothing.
[[nodiscard]] std::string first_wrong(Mutation mutation) {
  for (const Scenario& scenario : scenarios()) {
    const Explorer explored(scenario, mutation);
    if (!explored.wrong().empty()) return explored.wrong();
  }
  return {};
}

}  // namespace

TEST("in every order of steps no remote free is lost and no span is stranded") {
  for (const Scenario& scenario : scenarios()) {
    const Explorer explored(scenario, Mutation::kNone);
    CHECK_EQ(explored.wrong(), std::string());
    CHECK(explored.states() > 100);
    CHECK(explored.ends() > 0);
  }
}

TEST("in every order of steps one of two frees of the same cell is done and the other refused, before collection") {
  const Scenario twice{.freers = {{{0, 0}}, {{0, 0}}}, .collections = 0};
  const Explorer explored(twice, Mutation::kNone);
  CHECK_EQ(explored.wrong(), std::string());
  CHECK(explored.ends() > 0);
}

TEST("the model catches an owner that clears `pending` after it has taken the bits") {
  CHECK_EQ(first_wrong(Mutation::kPendingClearedAfterBits), std::string("a bit was set and nobody will collect it"));
}

TEST("the model catches an owner that reads the next span after it has let this one go") {
  CHECK(!first_wrong(Mutation::kNextReadAfterPending).empty());
}

TEST("the model catches a thread that lists a span before it has set the bit") {
  CHECK(!first_wrong(Mutation::kListedBeforeBit).empty());
}

}  // namespace offheap::test
