#include "heap/bucket.h"

#include <array>

#include "heap/size_classes.h"
#include "test/heaps.h"

namespace offheap::test {

using heap::Bucket;
using heap::BucketShape;
using heap::bytes_of;
using heap::kDefaultClasses;
using heap::kMaxClassBytes;
using heap::Span;

TEST("a span of every legal class has 4 to 1024 cells, at most 4 MiB, and wastes less than a page or an eighth") {
  for (std::uint32_t cell = 8; cell <= kMaxClassBytes; cell += 8) {
    const BucketShape shape = BucketShape::of(cell);
    const std::size_t span = bytes_of(shape.pages);
    const std::size_t used = std::size_t{shape.cells} * cell;
    CHECK(shape.cells >= 4 && shape.cells <= heap::kMaxCells);
    CHECK(span <= Span::kMaxBucketSpanBytes);
    CHECK(used <= span);
    CHECK(span - used < heap::kPageBytes);
    CHECK((span - used) * 8 <= span);
  }
}

TEST("a span of every default class wastes at most 1.6 %") {
  for (const std::uint32_t cell : kDefaultClasses) {
    const BucketShape shape = BucketShape::of(cell);
    const std::size_t span = bytes_of(shape.pages);
    CHECK((span - std::size_t{shape.cells} * cell) * 64 <= span);
  }
}

TEST("the cell of every offset in a span is found exactly, for every default class") {
  for (const std::uint32_t cell : kDefaultClasses) {
    Span span;
    span.reciprocal = Span::reciprocal_of(cell);
    const auto end = static_cast<std::uint32_t>(bytes_of(BucketShape::of(cell).pages));
    std::uint32_t wrong = 0;
    for (std::uint32_t offset = 0; offset < end; ++offset) {
      if (span.cell_at(offset) != offset / cell) ++wrong;
    }
    CHECK_EQ(wrong, 0U);
  }
}

TEST("the cell of every offset in a span is found exactly, for odd classes") {
  for (const std::uint32_t cell : {8U, 24U, 40U, 56U, 104U, 1000U, 4088U, 4104U, 65'528U, 65'544U, 99'992U, 524'280U,
                                   699'048U, 699'056U, 1'048'568U, 1'048'576U}) {
    Span span;
    span.reciprocal = Span::reciprocal_of(cell);
    std::uint32_t wrong = 0;
    for (std::uint32_t offset = 0; offset < Span::kMaxBucketSpanBytes; ++offset) {
      if (span.cell_at(offset) != offset / cell) ++wrong;
    }
    CHECK_EQ(wrong, 0U);
  }
}

TEST("the first and last byte of every cell is found exactly, for every legal class") {
  for (std::uint32_t cell = 8; cell <= kMaxClassBytes; cell += 8) {
    Span span;
    span.reciprocal = Span::reciprocal_of(cell);
    std::uint32_t wrong = 0;
    for (std::uint32_t index = 0; index < BucketShape::of(cell).cells; ++index) {
      const std::size_t start = std::size_t{index} * cell;
      if (span.cell_at(start) != index || span.cell_at(start + cell - 1) != index) ++wrong;
    }
    CHECK_EQ(wrong, 0U);
  }
}

TEST("a bucket's list keeps its spans in order wherever one is taken out") {
  std::array<Span, 3> spans;
  for (std::size_t removed = 0; removed < spans.size(); ++removed) {
    Bucket bucket;
    for (Span& span : spans) bucket.push_front(&span);
    CHECK(bucket.spans == &spans[2] && spans[2].next == &spans[1] && spans[1].next == spans.data());
    bucket.remove(&spans[removed]);
    CHECK(spans[removed].next == nullptr && spans[removed].previous == nullptr);
    const Span* previous = nullptr;
    std::size_t count = 0;
    for (const Span* span = bucket.spans; span != nullptr; span = span->next) {
      CHECK(span != &spans[removed]);
      CHECK(span->previous == previous);
      previous = span;
      ++count;
    }
    CHECK_EQ(count, 2U);
    for (Span& span : spans) span.next = span.previous = nullptr;
  }
}

TEST("a bucket fills a span from its lowest cell to its last before it takes another") {
  OwnHeap heap;
  const std::uint32_t cells = BucketShape::of(64).cells;
  std::byte* first = nullptr;
  for (std::uint32_t index = 0; index < cells; ++index) {
    const Held held = hold(*heap, 64);
    if (first == nullptr) first = held.address;
    CHECK_EQ(held.address - first, std::ptrdiff_t{index} * 64);
  }
  CHECK(spans_of(*heap)[0] == (SpanView{SpanKind::kBucket, 16, cells}));
  CHECK(spans_of(*heap)[1].kind == SpanKind::kFree);
  CHECK_EQ(hold(*heap, 64).address - first, std::ptrdiff_t{cells} * 64);
  CHECK(spans_of(*heap)[1] == (SpanView{SpanKind::kBucket, 16, 1}));
  CHECK(heap->check_invariants());
}

TEST("a bucket keeps one empty span and gives every other one back") {
  OwnHeap heap;
  const std::uint32_t cells = BucketShape::of(1024).cells;
  std::vector<Held> blocks;
  for (std::uint32_t index = 0; index < 3 * cells; ++index) blocks.push_back(hold(*heap, 1024));
  for (const Held& held : blocks) {
    drop(*heap, held);
    CHECK(heap->check_invariants());
  }
  std::uint32_t bucket_spans = 0;
  for (const SpanView& span : spans_of(*heap)) bucket_spans += span.kind == SpanKind::kBucket ? 1 : 0;
  CHECK_EQ(bucket_spans, 1U);
  (void)heap->trim();
  CHECK_EQ(heap->statistics().regions, 0U);
}

}  // namespace offheap::test
