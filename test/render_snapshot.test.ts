import { expect } from "chai";
import { Heap } from "../dist/heap.js";
import { renderSnapshot } from "../dist/render_snapshot.js";
import type { HeapSnapshot } from "../dist/snapshot.js";
import { describeForBothBindings } from "./bindings.js";
import { as, expectRefusal } from "./promises.js";

const KiB = 1024;

/** A region of 64 KiB: 4 KiB metadata, a bucket span, a dynamic span, and the rest free. */
const SNAPSHOT: HeapSnapshot = {
  name: "drawn",
  pageSize: 4 * KiB,
  regionSize: 64 * KiB,
  regions: [
    {
      address: 0x7f0000000000n,
      bytes: 64 * KiB,
      committed: 28 * KiB,
      metadataBytes: 4 * KiB,
      spans: [
        {
          kind: "bucket",
          address: 0x7f0000001000n,
          bytes: 4 * KiB,
          committed: 4 * KiB,
          blockBytes: 512,
          blocks: 8,
          used: 3,
          usedBits: Uint8Array.of(0b10000101),
        },
        {
          kind: "dynamic",
          address: 0x7f0000002000n,
          bytes: 20 * KiB,
          committed: 20 * KiB,
          blockBytes: 20 * KiB,
          blocks: 1,
          used: 1,
          usedBits: Uint8Array.of(1),
        },
        {
          kind: "free",
          address: 0x7f0000007000n,
          bytes: 36 * KiB,
          committed: 0,
          blockBytes: 0,
          blocks: 0,
          used: 0,
          usedBits: new Uint8Array(0),
        },
      ],
    },
  ],
  buckets: [
    { blockBytes: 64, spans: 0, blocks: 0, used: 0 },
    { blockBytes: 512, spans: 1, blocks: 8, used: 3 },
  ],
  blocks: [
    { address: 0x7f0000001000n, requested: 500, usable: 512 },
    { address: 0x7f0000001400n, requested: 300, usable: 512 },
    { address: 0x7f0000001e00n, requested: 512, usable: 512 },
    { address: 0x7f0000002000n, requested: 20_000, usable: 20 * KiB },
  ],
};

describe("renderSnapshot", () => {
  it("draws regions, spans, buckets, blocks and a legend", () => {
    expect(renderSnapshot(SNAPSHOT, { width: 68 })).to.equal(
      [
        `Heap "drawn": 1 region, 4 blocks, 20.8 KiB requested`,
        "A region is 64 KiB, a page 4 KiB",
        "",
        "Region 0x7f0000000000: 64 KiB reserved, 28 KiB committed, 4 KiB metadata",
        "  [MMMMBBBBDDDDDDDDDDDDDDDDDDDD....................................]",
        "  each character is 1 KiB",
        "  0x7f0000001000  bucket    4 KiB  3 of 8 x 512 B   [#.#....#]",
        "  0x7f0000002000  dynamic  20 KiB  1 of 1 x 20 KiB  [#]",
        "  0x7f0000007000  free     36 KiB  0 B committed",
        "",
        "Buckets",
        "  512 B  1 span  3 of 8 blocks used",
        "  and 1 bucket without a span",
        "",
        "Blocks",
        "  0x7f0000001000     500 B requested   512 B usable",
        "  0x7f0000001400     300 B requested   512 B usable",
        "  0x7f0000001e00     512 B requested   512 B usable",
        "  0x7f0000002000  19.5 KiB requested  20 KiB usable",
        "",
        "Legend",
        "  map of a region   M metadata   B bucket span   D dynamic span   H huge block   . free",
        "                    A character shows what is in use in its bytes, however little it is.",
        "  map of blocks     # used   + some of several used   . free",
        "",
      ].join("\n"),
    );
  });

  it("says how much it leaves out", () => {
    const text = renderSnapshot(SNAPSHOT, { rows: 1 });
    expect(text).to.contain("  and 2 more spans\n").and.to.contain("  and 3 more blocks\n");
    expect(renderSnapshot(SNAPSHOT, { rows: 0 })).to.contain("  and 4 blocks\n");
  });

  it("shows a used block even where one character stands for many", () => {
    const spans = [
      {
        kind: "bucket",
        address: 0x1000n,
        bytes: 4 * KiB,
        committed: 4 * KiB,
        blockBytes: 1,
        blocks: 4096,
        used: 1,
        usedBits: new Uint8Array(512).fill(1, 100, 101),
      },
    ] as const;
    const region = { address: 0n, bytes: 64 * KiB, committed: 0, metadataBytes: 0, spans };
    const text = renderSnapshot({ ...SNAPSHOT, regions: [region] }, { width: 80 });
    expect(text.match(/\[[.+#]+\]/g)?.at(-1)).to.match(/^\[\.+\+\.+\]$/);
  });

  it("an empty heap has a picture", () => {
    const text = renderSnapshot({ ...SNAPSHOT, regions: [], buckets: [], blocks: [] });
    expect(text).to.contain("0 regions, 0 blocks, 0 B requested").and.to.contain("Buckets\n  none\n");
  });

  it("refuses what is no snapshot and no options", () => {
    for (const snapshot of [undefined, null, 8, "heap", {}, [], { regions: [] }]) {
      expectRefusal("ERR_INVALID_ARG_TYPE", () => renderSnapshot(as(snapshot)));
    }
    expectRefusal("ERR_INVALID_ARG_TYPE", () => renderSnapshot(SNAPSHOT, as(null)));
    expectRefusal("ERR_INVALID_ARG_TYPE", () => renderSnapshot(SNAPSHOT, { width: as("80") }));
    for (const width of [39, 1001, 80.5]) expectRefusal("ERR_OUT_OF_RANGE", () => renderSnapshot(SNAPSHOT, { width }));
    expectRefusal("ERR_OUT_OF_RANGE", () => renderSnapshot(SNAPSHOT, { rows: -1 }));
  });
});

describeForBothBindings("renderSnapshot of a real heap", () => {
  it("keeps its maps within the width", () => {
    const heap = new Heap({ name: "real" });
    for (let size = 1; size < 1_000_000; size *= 3) for (let block = 0; block < 50; block++) heap.alloc(size);
    for (const width of [40, 100, 200]) {
      const lines = renderSnapshot(heap.snapshot(), { width }).split("\n");
      for (const line of lines.filter((each) => each.startsWith("  ["))) expect(line.length).to.equal(width);
      expect(lines.some((line) => line !== line.trimEnd())).to.equal(false);
    }
  });
});
