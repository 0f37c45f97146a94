#include "heap/size_classes.h"

#include <algorithm>

namespace offheap::heap {

bool SizeClasses::valid(std::span<const std::uint32_t> sizes) {
  if (sizes.empty() || sizes.size() > kMaxClasses) return false;
  std::size_t previous = 0;
  for (const std::uint32_t size : sizes) {
    if (size == 0 || size > kMaxClassBytes) return false;
    if (size <= previous) return false;
    previous = size;
  }
  return true;
}

void SizeClasses::set(std::span<const std::uint32_t> sizes) {
  count_ = 0;
  for (const std::uint32_t size : sizes) {
    const auto cell = static_cast<std::uint32_t>(round_up(size, kCellGrain));
    if (count_ == 0 || cell != sizes_[count_ - 1]) sizes_[count_++] = cell;
  }
  std::uint32_t index = 0;
  for (std::size_t grain = 0; grain < class_of_grain_.size(); ++grain) {
    while (index < count_ && sizes_[index] < grain * kCellGrain) ++index;
    class_of_grain_[grain] = index < count_ ? static_cast<std::uint8_t>(index) : kNone;
  }
}

std::uint8_t SizeClasses::find_large(std::size_t size) const {
  const auto all = this->sizes();
  const auto found = std::ranges::lower_bound(all, size);
  return found == all.end() ? kNone : static_cast<std::uint8_t>(found - all.begin());
}

std::uint8_t SizeClasses::find_aligned(Layout layout) const {
  if (layout.align() > kPageBytes) return kNone;
  const auto rounded = checked_round_up(layout.size() > 0 ? layout.size() : 1, layout.align());
  if (!rounded || *rounded > kMaxClassBytes) return kNone;
  for (std::size_t index = find_large(*rounded); index < count_; ++index) {
    if (alignment_of(sizes_[index]) >= layout.align()) return static_cast<std::uint8_t>(index);
  }
  return kNone;
}

}  // namespace offheap::heap
