// How a shared heap ends (free_as_visitor() and abandon() in heap/shared_heap.cc) as a small machine, and every order
// in which the last frees and the release of the last handle can take their steps. One step is one access to what they
// share; those are sequentially consistent in the code, or under a lock.
#include <array>
#include <cstdint>
#include <cstring>
#include <string>
#include <unordered_set>
#include <vector>

#include "test/check.h"

namespace offheap::test {

namespace {

constexpr std::size_t kParts = 2;
constexpr std::size_t kMostVisitors = 3;
constexpr std::uint8_t kNobody = 0xFF;
constexpr std::uint8_t kReleaser = 0xFE;

// What is done otherwise than it should be.
enum class Mutation : std::uint8_t {
  kNone,
  kFlagSeenBeforeVisit,  // a visitor looks at the flag and then counts itself
  kVisitorsNotAwaited,   // the releaser does not wait for them
  kAnybodyMayDestroy,    // also before the releaser has waited
  kCountedUntilFreed,    // a visitor is not counted any more when it gives its bytes back
  kFlagAfterVisitors,    // the releaser waits first and raises the flag then
  kLastFreeDoesNotLook,  // nobody looks after a free whether it was the last
};

// The part each of the visitors frees a block of.
using Scenario = std::vector<std::uint8_t>;

enum class VisitorStep : std::uint8_t {
  kCount,       // visitors of the part + 1
  kLook,        // at the flag
  kFree,        // the block is back
  kSettle,      // the heap's own account
  kUncount,     // visitors - 1
  kTurnBack,    // the same, and nothing freed yet
  kLock,        // the one for the ends of all heaps
  kFreeLocked,  // the block is back
  kLookIfLast,  // and destroy
  kUnlock,
  kThrough,
};

enum class ReleaserStep : std::uint8_t { kRaiseFlag, kAwait, kLock, kAllow, kLookIfLast, kUnlock, kThrough };

struct Releaser {
  ReleaserStep step = ReleaserStep::kRaiseFlag;
  std::uint8_t part = 0;  // whose visitors it waits for
  std::uint8_t flag_raised = 0;
};

// Plain bytes, so that states can be compared and remembered as such.
struct State {
  std::array<std::uint8_t, kParts> visitors{};
  std::uint8_t abandoned = 0;
  std::uint8_t blocks = 0;
  std::uint8_t may_be_destroyed = 0;
  std::uint8_t lock = kNobody;  // who has it
  std::uint8_t destroyed = 0;   // times
  std::uint8_t touched_late = 0;
  std::array<VisitorStep, kMostVisitors> steps{};
  Releaser releaser{};
};

class Explorer {
 public:
  Explorer(const Scenario& scenario, Mutation mutation) : scenario_(scenario), mutation_(mutation) {
    State start;
    start.blocks = static_cast<std::uint8_t>(scenario.size());
    start.steps.fill(VisitorStep::kThrough);
    for (std::size_t index = 0; index < scenario.size(); ++index) {
      start.steps[index] = late_count() ? VisitorStep::kLook : VisitorStep::kCount;
    }
    if (mutation_ == Mutation::kFlagAfterVisitors) start.releaser.step = ReleaserStep::kAwait;
    visit(start);
  }

  [[nodiscard]] const std::string& wrong() const { return wrong_; }
  [[nodiscard]] std::size_t states() const { return seen_.size(); }
  [[nodiscard]] std::size_t ends() const { return ends_; }

 private:
  [[nodiscard]] bool late_count() const { return mutation_ == Mutation::kFlagSeenBeforeVisit; }

  void visit(const State& start) {
    std::vector<State> open{start};
    while (!open.empty() && wrong_.empty()) {
      const State state = open.back();
      open.pop_back();
      std::string key(sizeof(State), '\0');
      std::memcpy(key.data(), &state, sizeof(State));
      if (!seen_.insert(std::move(key)).second) continue;
      if (state.touched_late != 0) wrong_ = "the heap was touched when it was gone";
      if (state.destroyed > 1) wrong_ = "the heap was destroyed twice";
      const std::size_t before = open.size();
      for (std::size_t index = 0; index < scenario_.size(); ++index) {
        State after = state;
        if (step_visitor(after, index)) open.push_back(after);
      }
      State after = state;
      if (step_releaser(after)) open.push_back(after);
      if (open.size() == before) check_end(state);
    }
  }

  static void touch(State& state) {
    if (state.destroyed != 0) state.touched_late = 1;
  }

  static void destroy_if_empty(State& state, bool allowed) {
    touch(state);
    if (allowed && state.blocks == 0) ++state.destroyed;
  }

  [[nodiscard]] bool step_visitor(State& state, std::size_t self) const {
    VisitorStep& step = state.steps[self];
    std::uint8_t& visitors = state.visitors[scenario_[self]];
    const auto then = [&](VisitorStep next) {
      step = next;
      return true;
    };
    switch (step) {
      case VisitorStep::kCount:
        touch(state);
        ++visitors;
        return then(late_count() ? VisitorStep::kFree : VisitorStep::kLook);
      case VisitorStep::kLook:
        touch(state);
        if (state.abandoned != 0) return then(late_count() ? VisitorStep::kLock : VisitorStep::kTurnBack);
        return then(late_count() ? VisitorStep::kCount : VisitorStep::kFree);
      case VisitorStep::kFree:
        touch(state);
        --state.blocks;
        return then(mutation_ == Mutation::kCountedUntilFreed ? VisitorStep::kUncount : VisitorStep::kSettle);
      case VisitorStep::kSettle:
        touch(state);
        return then(mutation_ == Mutation::kCountedUntilFreed ? VisitorStep::kThrough : VisitorStep::kUncount);
      case VisitorStep::kUncount:
        touch(state);
        --visitors;
        return then(mutation_ == Mutation::kCountedUntilFreed ? VisitorStep::kSettle : VisitorStep::kThrough);
      case VisitorStep::kTurnBack:
        touch(state);
        --visitors;
        return then(VisitorStep::kLock);
      case VisitorStep::kLock:
        if (state.lock != kNobody) return false;
        state.lock = static_cast<std::uint8_t>(self);
        return then(VisitorStep::kFreeLocked);
      case VisitorStep::kFreeLocked:
        touch(state);
        --state.blocks;
        return then(mutation_ == Mutation::kLastFreeDoesNotLook ? VisitorStep::kUnlock : VisitorStep::kLookIfLast);
      case VisitorStep::kLookIfLast:
        destroy_if_empty(state, state.may_be_destroyed != 0 || mutation_ == Mutation::kAnybodyMayDestroy);
        return then(VisitorStep::kUnlock);
      case VisitorStep::kUnlock:
        state.lock = kNobody;
        return then(VisitorStep::kThrough);
      case VisitorStep::kThrough:
        return false;
    }
    return false;
  }

  [[nodiscard]] bool step_releaser(State& state) const {
    Releaser& releaser = state.releaser;
    const auto then = [&](ReleaserStep next) {
      releaser.step = next;
      return true;
    };
    switch (releaser.step) {
      case ReleaserStep::kRaiseFlag:
        touch(state);
        state.abandoned = 1;
        releaser.flag_raised = 1;
        if (mutation_ == Mutation::kVisitorsNotAwaited || mutation_ == Mutation::kFlagAfterVisitors) {
          return then(ReleaserStep::kLock);
        }
        return then(ReleaserStep::kAwait);
      case ReleaserStep::kAwait:
        touch(state);
        if (state.visitors[releaser.part] != 0) return false;
        if (++releaser.part < kParts) return true;
        return then(releaser.flag_raised != 0 ? ReleaserStep::kLock : ReleaserStep::kRaiseFlag);
      case ReleaserStep::kLock:
        if (state.lock != kNobody) return false;
        state.lock = kReleaser;
        return then(ReleaserStep::kAllow);
      case ReleaserStep::kAllow:
        touch(state);
        state.may_be_destroyed = 1;
        return then(ReleaserStep::kLookIfLast);
      case ReleaserStep::kLookIfLast:
        destroy_if_empty(state, true);
        return then(ReleaserStep::kUnlock);
      case ReleaserStep::kUnlock:
        state.lock = kNobody;
        return then(ReleaserStep::kThrough);
      case ReleaserStep::kThrough:
        return false;
    }
    return false;
  }

  void check_end(const State& state) {
    ++ends_;
    if (state.releaser.step != ReleaserStep::kThrough) wrong_ = "the releaser waits for ever";
    for (const VisitorStep step : state.steps) {
      if (step != VisitorStep::kThrough) wrong_ = "a visitor waits for ever";
    }
    if (wrong_.empty() && state.destroyed == 0) wrong_ = "nobody destroyed the heap";
  }

  const Scenario& scenario_;
  Mutation mutation_;
  std::unordered_set<std::string> seen_;
  std::size_t ends_ = 0;
  std::string wrong_;
};

const std::vector<Scenario>& scenarios() {
  static const std::vector<Scenario> all{{}, {0}, {1}, {0, 0}, {0, 1}, {0, 0, 0}, {0, 0, 1}, {0, 1, 1}};
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

const std::string kTouchedLate = "the heap was touched when it was gone";

}  // namespace

TEST("in every order of the last frees and the last release a shared heap ends once and is not touched after") {
  for (const Scenario& scenario : scenarios()) {
    const Explorer explored(scenario, Mutation::kNone);
    CHECK_EQ(explored.wrong(), std::string());
    CHECK(explored.states() >= 7);
    CHECK(explored.ends() > 0);
  }
}

TEST("the end's model catches a visitor that looks at the flag before it counts itself") {
  CHECK(!first_wrong(Mutation::kFlagSeenBeforeVisit).empty());
}

TEST("the end's model catches a visitor that is not counted until it has let go") {
  CHECK_EQ(first_wrong(Mutation::kCountedUntilFreed), kTouchedLate);
}

TEST("the end's model catches a releaser that does not wait for visitors") {
  CHECK(!first_wrong(Mutation::kVisitorsNotAwaited).empty());
}

TEST("the end's model catches a releaser that waits for visitors before it raises the flag") {
  CHECK(!first_wrong(Mutation::kFlagAfterVisitors).empty());
}

TEST("the end's model catches a last free that ends a heap while others are counted in it") {
  CHECK_EQ(first_wrong(Mutation::kAnybodyMayDestroy), kTouchedLate);
}

TEST("the end's model catches frees that do not look whether they were the last") {
  CHECK_EQ(first_wrong(Mutation::kLastFreeDoesNotLook), std::string("nobody destroyed the heap"));
}

}  // namespace offheap::test
