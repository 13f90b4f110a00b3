import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { CACHE_DEGRADED, CACHE_HEALTHY, CACHE_LOST, CACHE_STATE, REPLAY } from "../../wasm/ring/layout.ts";
import { EIO, ENOSPC } from "../base/ffi.ts";
import type { JournalReader } from "./reader.ts";
import { openCacheReader } from "./reader.ts";
import { ModelJournal, seeded, TestBench } from "./testing.ts";

function expectJournal(reader: JournalReader, model: ModelJournal, J: number, bytes: number): void {
  const into = Buffer.alloc(bytes);
  expect(reader.read(J, bytes, Number(ptr(into)))).toBe(bytes);
  if (Buffer.compare(into, model.expected(J, bytes)) !== 0)
    throw new Error(`journal differs in [${J}, ${J + bytes})`);
}

function expectAll(reader: JournalReader, model: ModelJournal): void {
  const from = Math.max(0, model.headJ - reader.geometry.cacheBytes);
  expectJournal(reader, model, from, model.headJ - from);
}

function stateWord(bench: TestBench): number {
  return bench.shared.words[CACHE_STATE / 4]!;
}

test("RED-02, RED-15: stripes written in a circle over several laps are read back at any alignment", () => {
  for (const shape of [
    {},
    { members: 2 },
    { members: 16 },
    { members: 3, parity: "none" as const },
    { members: 1, parity: "none" as const },
  ]) {
    using bench = new TestBench(shape, true);
    const array = bench.open();
    array.startAt(0);
    const model = new ModelJournal(bench, 1);
    const next = seeded(2);
    while (model.headJ < 3 * bench.cacheBytes) {
      expect(model.write(array, 1 + Math.floor(next() * 5))).toBe(true);
      const from = Math.max(0, model.headJ - bench.cacheBytes);
      const J = from + Math.floor(next() * (model.headJ - from));
      expectJournal(array, model, J, 1 + Math.floor(next() * Math.min(40_000, model.headJ - J)));
    }
    expect(array.sync()).toBe(true);
    expect(array.durableJ).toBe(model.headJ);
    expectAll(array, model);
    expect(array.health().reconstructions).toBe(0);
  }
});

test("rule 9: a stripe is written once, whole, in order; anything else is a bug that stops", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 1);
  model.write(array, 3);
  expect(() => array.writeStripes(0, 1)).toThrow("written once");
  expect(() => array.writeStripes(model.headJ + 512, 1)).toThrow("written once");
  expect(() => array.writeStripes(model.headJ, 6)).toThrow("ring's end");
  expect(() => array.startAt(0)).toThrow("never goes back");
});

test("rule 9: one pwritev a member carries several stripes, and no byte is read to write them", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  const before = { ...bench.faults.seen };
  new ModelJournal(bench, 1).write(array, 8);
  expect(bench.faults.seen.pwritev - before.pwritev).toBe(4);
  expect(bench.faults.seen.pread).toBe(before.pread);
});

test("RED-03: each member in turn is lost: nothing is lost, caching goes on, the event names the disk", () => {
  for (let lost = 0; lost < 4; lost++) {
    for (const [call, cause] of [
      ["pwritev", -EIO],
      ["pwritev", -ENOSPC],
      ["pwritev", 4096],
      ["fdatasync", -EIO],
    ] as const) {
      using bench = new TestBench();
      const array = bench.open();
      array.startAt(0);
      const model = new ModelJournal(bench, lost);
      model.write(array, 8);
      model.write(array, 3);
      expect(array.sync()).toBe(true);
      bench.faults.on(call, lost, 2, cause);
      for (let i = 0; i < 12; i++) {
        expect(model.write(array, 2)).toBe(true);
        expect(array.sync()).toBe(true);
      }
      expect(array.state).toBe("degraded");
      expect(stateWord(bench)).toBe(CACHE_DEGRADED);
      expect(bench.events.filter((event) => event.transition === "memberLost")).toMatchObject([
        { severity: "alarm", evidence: { member: lost, path: bench.paths[lost]! } },
      ]);
      expectAll(array, model);
      expect(array.health().members[lost]!.state).toBe("failed");
    }
  }
}, 60_000);

test("RED-03: a second loss is the cache's end: writing says so and nothing counts as written", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 9);
  model.write(array, 4);
  array.sync();
  array.failMember(0);
  bench.faults.on("pwritev", 2, 1, -EIO);
  const head = model.headJ;
  expect(model.write(array, 4)).toBe(false);
  expect(array.headJ).toBe(head);
  expect(array.sync()).toBe(false);
  expect(array.state).toBe("lost");
  expect(stateWord(bench)).toBe(CACHE_LOST);
  expect(array.writeCheckpoint({ J: 0, sequence: 0, image: 0, position: 0 })).toBe(false);
});

test("RED-03: without parity one loss is the cache's end", () => {
  using bench = new TestBench({ parity: "none" });
  const array = bench.open();
  array.startAt(0);
  array.failMember(3);
  expect(array.state).toBe("lost");
});

test("RED-03: a strip that the disk refuses to give back is read by parity; two are an error, never wrong bytes", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 4);
  for (let i = 0; i < 4; i++) model.write(array, 8);
  bench.faults.on("pread", 1, 1, -EIO);
  expectAll(array, model);
  expect(array.health().readErrors).toBeGreaterThan(0);
  bench.faults.on("pread", 2, 1, -EIO);
  const into = Buffer.alloc(bench.cacheBytes);
  expect(array.read(0, bench.cacheBytes, Number(ptr(into)))).toBe(-EIO);
});

test("RED-03: a lost disk is replaced and rebuilt on line, while stripes are written and read", () => {
  for (const seed of [1, 2, 3, 4]) {
    // Several slices a rebuild.
    using bench = new TestBench({ members: 2 + seed, stripBytes: 128 * 1024, laps: 6 });
    const array = bench.open();
    array.startAt(0);
    const model = new ModelJournal(bench, seed);
    const next = seeded(seed);
    const fill = 8 + Math.floor(next() * 30);
    for (let i = 0; i < fill; i++) model.write(array, 3);
    const lost = Math.floor(next() * (2 + seed));
    array.failMember(lost);
    for (let i = 0; i < 5; i++) model.write(array, 2);
    const path = `${bench.directory}/spare`;
    expect(array.replaceMember(lost, path)).toEqual({ kind: "rebuilding", path });
    expect(array.state).toBe("degraded");
    let steps = 1;
    let outcome = array.rebuildStep();
    for (; outcome === "worked"; steps++) {
      model.write(array, 1 + Math.floor(next() * 3));
      expectAll(array, model);
      outcome = array.rebuildStep();
    }
    expect(steps).toBeGreaterThan(1);
    expect(outcome).toBe("done");
    expect(array.state).toBe("healthy");
    expect(stateWord(bench)).toBe(CACHE_HEALTHY);
    model.write(array, 2);
    array.sync();
    // The rebuilt disk is worth as much as any: without another one, all is there.
    array.failMember((lost + 1) % (2 + seed));
    expectAll(array, model);
    expect(array.health().members[lost]).toMatchObject({ path, state: "good" });
  }
}, 60_000);

test("RED-03: a replacement that holds something else is refused and not touched", async () => {
  using bench = new TestBench();
  using other = new TestBench();
  other.open().close();
  const array = bench.open();
  array.startAt(0);
  expect(array.replaceMember(1, `${bench.directory}/spare`)).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining("in use"),
  });
  array.failMember(1);
  const foreign = `${bench.directory}/letters`;
  await Bun.write(foreign, "dear all");
  expect(array.replaceMember(1, foreign)).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining("foreign"),
  });
  expect(await Bun.file(foreign).text()).toBe("dear all");
  expect(array.replaceMember(1, other.paths[1]!)).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining("another cache array"),
  });
  expect(array.replaceMember(1, bench.paths[2]!)).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining("member 2"),
  });
  const nowhere = `${bench.directory}/nowhere/spare`;
  expect(array.replaceMember(1, nowhere)).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining("ENOENT"),
  });
  const into = Buffer.alloc(4096);
  expect(array.read(0, 4096, Number(ptr(into)))).toBe(4096);
  expect(array.replaceMember(1, bench.paths[1]!)).toMatchObject({ kind: "rebuilding" });
});

test("RED-03: the new disk fails in the rebuild: degraded as before; a bad spot on a source costs 64 KiB, not the rebuild", () => {
  using bench = new TestBench({ ringStripes: 64, laps: 2 });
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 1);
  for (let i = 0; i < 2; i++) model.write(array, 64);
  array.failMember(3);
  array.replaceMember(3, bench.paths[3]!);
  bench.faults.on("pwrite", 3, 1, -ENOSPC);
  expect(array.rebuildStep()).toBe("failed");
  expect(array.state).toBe("degraded");
  bench.faults.clear();
  expectAll(array, model);
  array.replaceMember(3, bench.paths[3]!);
  bench.faults.on("pread", 0, 1, -EIO, false).on("pread", 0, 2, -EIO, false);
  let outcome = array.rebuildStep();
  while (outcome === "worked") outcome = array.rebuildStep();
  expect(outcome).toBe("done");
  expect(bench.events.find((event) => event.transition === "rebuildUnreadable")?.evidence).toMatchObject({
    unreadableBytes: 65536,
  });
});

test("RED-03, RED-11: readers in other threads see a member go and come back through the shared table", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 1);
  const scratch = { offset: REPLAY, bytes: 1 << 20 };
  const reader = openCacheReader(bench.shared, array.geometry, bench.paths, scratch);
  for (let i = 0; i < 3; i++) model.write(array, 8);
  array.sync();
  expectAll(reader, model);
  expect(reader.reconstructions).toBe(0);
  array.failMember(2);
  // Stripes that the lost member never got are not read from it.
  for (let i = 0; i < 4; i++) model.write(array, 8);
  expectAll(reader, model);
  expect(reader.reconstructions).toBeGreaterThan(0);
  const spare = `${bench.directory}/spare`;
  array.replaceMember(2, spare);
  while (array.rebuildStep() === "worked");
  expectAll(reader, model);
  reader.openMember(2, spare);
  const before = reader.reconstructions;
  expectAll(reader, model);
  expect(reader.reconstructions).toBe(before);
  expect(reader.readWithout(0, 0, 4096, bench.shared.base + REPLAY + (8 << 20))).toBe(4096);
  reader.close();
});

test("RED-11: a long read is announced to all disks, with as much ahead, and nothing twice", () => {
  using bench = new TestBench({ ringStripes: 32 });
  const announced = new Array<number>(4).fill(0);
  bench.io = {
    ...bench.faults.io,
    prefetch: (member, _fd, offset, bytes) => {
      announced[member]! += bytes;
      expect(offset + bytes).toBeLessThanOrEqual(bench.array!.geometry.memberBytes);
    },
  };
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 1);
  for (let i = 0; i < 6; i++) model.write(array, 32);
  const piece = 8 * bench.stripeBytes;
  const fromJ = model.headJ - bench.cacheBytes; // runs over the lap's end
  for (let J = fromJ; J < model.headJ; J += piece) expectJournal(array, model, J, piece);
  // Once each strip, and one piece past the end.
  expect(announced).toEqual(new Array(4).fill((bench.cacheBytes + piece) / 3));
});
