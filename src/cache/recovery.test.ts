import { expect, test } from "bun:test";
import { closeSync, openSync, readSync, writeSync } from "node:fs";
import { KIND_PAD, REPLAY, REPLAY_BYTES, TAKEN, WANT_DURABLE } from "../../wasm/ring/layout.ts";
import { MEMBER_DATA } from "../../wasm/stripe/layout.ts";
import { EIO } from "../base/ffi.ts";
import type { CacheArray } from "./array.ts";
import { type RecoveredEntry, type RecoveryEnd, recoverJournal } from "./recovery.ts";
import { seeded, TestBench } from "./testing.ts";
import { Killed, PowerCut, type SentEntry, TestHost } from "./testing-host.ts";

function recover(
  bench: TestBench,
  array: CacheArray,
): { entries: RecoveredEntry[]; hashes: bigint[]; end: RecoveryEnd } {
  const bytes = bench.shared.bytes.subarray(REPLAY, REPLAY + REPLAY_BYTES);
  const buffer = { address: bench.shared.base + REPLAY, bytes };
  const walk = recoverJournal({ reader: array, from: array.readCheckpoint(), buffer });
  const entries: RecoveredEntry[] = [];
  const hashes: bigint[] = [];
  for (;;) {
    const step = walk.next();
    if (step.done) return { entries, hashes, end: step.value };
    if (step.value.kind === KIND_PAD) continue;
    entries.push(step.value);
    hashes.push(Bun.hash.xxHash3(bytes.subarray(512, 512 + step.value.dataBytes)));
  }
}

/** What came back is what was sent from the checkpoint on, without a hole, and reaches `atLeastJ`. */
function expectChain(
  found: ReturnType<typeof recover>,
  sent: readonly SentEntry[],
  fromJ: number,
  atLeastJ: number,
): void {
  const due = sent.filter((entry) => entry.J >= fromJ);
  for (const [i, entry] of found.entries.entries()) {
    const { J, kind, sequence, position, hash } = due[i]!;
    expect(entry).toMatchObject({ J, kind, sequence, position });
    expect(found.hashes[i]).toBe(hash);
  }
  const promised = due.filter((entry) => entry.endJ <= atLeastJ).length;
  expect(found.entries.length).toBeGreaterThanOrEqual(promised);
}

function fill(host: TestHost, entries: number): void {
  for (let i = 0; i < entries; ) {
    if (host.send()) i++;
    else if (host.writer.step() !== "worked") host.tape(1);
  }
}

/** An array whose last entries are durable and nothing is on tape beyond the checkpoint. */
function left(bench: TestBench, seed: number): TestHost {
  const host = new TestHost(bench, bench.open(), seed);
  fill(host, 25);
  host.tape(0.5);
  host.barrier(WANT_DURABLE);
  host.writer.checkpointNow();
  fill(host, 10);
  host.barrier(WANT_DURABLE);
  return host;
}

function flip(path: string, at: number): void {
  const byte = Buffer.alloc(1);
  const fd = openSync(path, "r+");
  readSync(fd, byte, 0, 1, at);
  byte[0]! ^= 1;
  writeSync(fd, byte, 0, 1, at);
  closeSync(fd);
}

test("RED-15, rule 9: what a barrier made durable is found after a crash, entry by entry", () => {
  for (let seed = 1; seed <= 10; seed++) {
    using bench = new TestBench({ ringStripes: 16 });
    const host = left(bench, seed);
    const marks = host.marks();
    expect(marks.durable).toBe(marks.received);
    bench.crash();
    const array = bench.open();
    const found = recover(bench, array);
    expectChain(found, host.sent, marks.checkpoint, marks.durable);
    expect(found.end).toMatchObject({ endJ: marks.received, resumeJ: marks.received, suspects: [] });
    expect(["noEntry", "wrongOffset", "wrongSequence"]).toContain(found.end.reason);
    expect(found.end.resumeSequence).toBeGreaterThan(found.end.sequence);
  }
});

test("RED-03: a flipped bit anywhere in the chain is seen through by parity, and the disk is named", () => {
  const next = seeded(77);
  for (let round = 0; round < 25; round++) {
    using bench = new TestBench({ ringStripes: 16 });
    const host = left(bench, round);
    const marks = host.marks();
    bench.crash();
    const member = Math.floor(next() * 4);
    const { stripBytes } = bench.shape;
    const firstSlot = Math.floor(marks.checkpoint / bench.stripeBytes);
    const slots = marks.received / bench.stripeBytes - firstSlot;
    const slot = (firstSlot + Math.floor(next() * slots)) % (bench.cacheBytes / bench.stripeBytes);
    flip(bench.paths[member]!, MEMBER_DATA + slot * stripBytes + Math.floor(next() * stripBytes));
    const array = bench.open();
    const found = recover(bench, array);
    expectChain(found, host.sent, marks.checkpoint, marks.durable);
    expect(found.end.endJ).toBe(marks.received);
    expect(found.end.suspects.every((suspect) => suspect === member)).toBe(true);
  }
}, 60_000);

test("RED-03: with a disk missing the chain is read by parity; a flipped bit then ends it, and no wrong byte comes out", () => {
  using bench = new TestBench({ ringStripes: 16 });
  const host = left(bench, 5);
  const marks = host.marks();
  bench.crash();
  const victim = host.sent.find((entry) => entry.J >= marks.checkpoint && entry.endJ - entry.J > 9000)!;
  const slot = Math.floor((victim.J + 4096) / bench.stripeBytes);
  for (let at = 0; at < bench.shape.stripBytes; at += 64)
    flip(bench.paths[1]!, MEMBER_DATA + slot * bench.shape.stripBytes + at);
  bench.faults.on("pread", 2, 1, -EIO);
  const found = recover(bench, bench.open());
  expectChain(found, host.sent, marks.checkpoint, 0);
  expect(found.end.endJ).toBeLessThan(marks.received);
});

test("RED-15: entries of the last lap, or left over beyond an earlier gap, never continue the chain", () => {
  using bench = new TestBench({ ringStripes: 16, laps: 2 });
  // First life: entries of one size, so that any later life could line up with them.
  const first = new TestHost(bench, bench.open(), 1);
  const sendEven = (host: TestHost, count: number) => {
    for (let i = 0; i < count; ) {
      const J = host.ring.reserve(1024);
      if (J >= 0) {
        host.ring.append(J, 1, 0, 1, i, 0, 512, 1, 0, 0);
        i++;
      } else if (host.writer.step() !== "worked") host.ring.set(TAKEN, host.marks().received);
    }
  };
  sendEven(first, 40);
  while (first.writer.step() === "worked");
  bench.crash();
  const array = bench.open();
  const end = recover(bench, array).end;
  // Second life: begins at resumeJ, writes little, dies before its checkpoint covers it.
  const second = new TestHost(bench, array, 2, end.resumeJ, end.resumeSequence);
  second.writer.checkpointNow();
  sendEven(second, 12);
  while (second.writer.step() === "worked");
  const cached = second.marks().cached;
  bench.crash();
  const found = recover(bench, bench.open());
  expect(found.end.endJ).toBeLessThanOrEqual(cached);
  expect(found.entries.every((entry) => entry.sequence >= end.resumeSequence)).toBe(true);
});

test("RED-03, RED-15, rules 9 and 10: 60 lives of an array with kills in mid-write, power cuts, lost disks and rebuilds: no durable byte is lost", () => {
  for (let seed = 1; seed <= 6; seed++) {
    const members = 3 + (seed % 3);
    using bench = new TestBench({ members, ringStripes: 16, laps: 2 + (seed % 2) });
    const next = seeded(seed * 1000);
    const power = new PowerCut(bench.faults.io, bench.paths, bench.shape.stripBytes);
    bench.io = power.io;
    const act = (host: TestHost, array: CacheArray): void => {
      const dice = next();
      if (dice < 0.55) host.send();
      else if (dice < 0.7) host.tape(next());
      else if (dice < 0.95) host.writer.step();
      else if (dice < 0.98) host.barrier(WANT_DURABLE);
      else if (array.state === "healthy") array.failMember(Math.floor(next() * members));
      else {
        const out = array.health().members.findIndex((member) => member.state === "failed");
        if (out >= 0) array.replaceMember(out, bench.paths[out]!);
      }
    };
    let resume = { resumeJ: 0, resumeSequence: 0 };
    let array = bench.open();
    for (let life = 0; life < 10; life++) {
      const host = new TestHost(bench, array, seed * 100 + life, resume.resumeJ, resume.resumeSequence);
      host.writer.checkpointNow();
      const actions = 20 + Math.floor(next() * 120);
      if (next() < 0.5) power.killAfter = 1 + Math.floor(next() * 150);
      try {
        for (let i = 0; i < actions; i++) act(host, array);
      } catch (error) {
        if (!(error instanceof Killed)) throw error;
      }
      power.killAfter = Number.POSITIVE_INFINITY;
      const marks = host.marks();
      expect(marks.checkpoint).toBeLessThanOrEqual(marks.onTape);
      expect(marks.durable).toBeLessThanOrEqual(marks.cached);
      expect(marks.cached - marks.checkpoint).toBeLessThanOrEqual(bench.cacheBytes);
      bench.crash();
      if (next() < 0.5) power.cut(next);
      array = bench.open();
      expect(array.state).not.toBe("lost");
      const checkpoint = array.readCheckpoint()!;
      expect(checkpoint.J).toBeGreaterThanOrEqual(marks.checkpoint);
      const found = recover(bench, array);
      expectChain(found, host.sent, checkpoint.J, marks.durable);
      expect(found.end.resumeJ).toBeGreaterThanOrEqual(found.end.endJ);
      resume = found.end;
    }
  }
}, 60_000);

/** Entries at these positions, one after the other, all durable; the checkpoint lies before them. */
function wrote(bench: TestBench, positions: readonly number[]): TestHost {
  const host = new TestHost(bench, bench.open(), 3);
  host.writer.checkpointNow();
  for (const position of positions) {
    host.position = position;
    fill(host, 1);
  }
  host.barrier(WANT_DURABLE);
  bench.crash();
  return host;
}

test("rule 1: what is drained begins at the last entry at the lowest position, below which the tape is certain", () => {
  const cases: [positions: number[], drainsFrom: number][] = [
    [[5, 6, 7, 8], 0],
    [[5, 6, 7, 0, 1, 2], 3],
    [[5, 6, 7, 5, 6, 7], 3],
    // Back to the middle only: all of it is carried out, cut after cut.
    [[5, 6, 7, 8, 6, 7], 0],
    [[5, 6, 2, 3, 4, 3, 4, 2, 3], 7],
  ];
  for (const [positions, drainsFrom] of cases) {
    using bench = new TestBench();
    const host = wrote(bench, positions);
    const { end } = recover(bench, bench.open());
    const first = drainsFrom === 0 ? { J: 0, sequence: 0 } : host.sent[drainsFrom]!;
    const { J, sequence } = first;
    expect({ positions, drain: end.drain }).toEqual({
      positions,
      drain: { J, sequence, position: positions[drainsFrom]! },
    });
  }
});

test("a journal in which nothing is to be written names no position", () => {
  using bench = new TestBench();
  const host = wrote(bench, []);
  const { end } = recover(bench, bench.open());
  expect(end.drain.position).toBeNull();
  expect(host.sent).toEqual([]);
});

test("what the crash tore in the last call is seen through, and no disk is blamed for it", () => {
  using bench = new TestBench({ ringStripes: 16 });
  const host = left(bench, 5);
  const marks = host.marks();
  bench.crash();
  const { stripeBytes, stripBytes, slots, members } = bench.open().geometry;
  bench.crash();
  const slot = (marks.received / stripeBytes - 1) % slots;
  for (let member = 0; member < members; member++) {
    // As if the process had ended before this member's part of the call.
    const bytes = Array.from(
      { length: 64 },
      (_, n) => MEMBER_DATA + slot * stripBytes + n * (stripBytes / 64),
    );
    for (const at of bytes) flip(bench.paths[member]!, at);
    const found = recover(bench, bench.open());
    expectChain(found, host.sent, marks.checkpoint, marks.durable);
    expect(found.end).toMatchObject({ endJ: marks.received, suspects: [] });
    bench.crash();
    for (const at of bytes) flip(bench.paths[member]!, at);
  }
});
