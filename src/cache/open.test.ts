import { ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { EIO } from "../base/ffi.ts";
import { HEAD_BYTES, SUPERBLOCK_COPY_AT } from "./format.ts";
import { planGeometry } from "./geometry.ts";
import { ModelJournal, TestBench } from "./testing.ts";

const MIB = 1 << 20;

function corrupt(path: string, at: number, bytes: number): void {
  const file = readFileSync(path);
  for (let i = 0; i < bytes; i++) file[at + i]! ^= 0x5a;
  writeFileSync(path, file);
}

/** A used array with a checkpoint, closed. */
function used(bench: TestBench, seed = 1): ModelJournal {
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, seed);
  for (let i = 0; i < 3; i++) model.write(array, 8);
  array.setImageIdentity('{"barcode":"UND001L8"}');
  array.writeCheckpoint({ J: 4096, sequence: 7, image: 2, position: 6 });
  bench.crash();
  return model;
}

function isReadable(bench: TestBench, model: ModelJournal): boolean {
  const into = Buffer.alloc(model.headJ);
  return (
    bench.array!.read(0, model.headJ, Number(ptr(into))) === model.headJ &&
    Buffer.compare(into, model.expected(0, model.headJ)) === 0
  );
}

test("RED-03: absent, empty and zeroed files become an array; they are preallocated and say how they are written", () => {
  using bench = new TestBench();
  writeFileSync(bench.paths[1]!, "");
  writeFileSync(bench.paths[2]!, Buffer.alloc(3 * MIB));
  const array = bench.open();
  expect(array.state).toBe("healthy");
  for (const path of bench.paths)
    expect(statSync(path).size).toBeGreaterThanOrEqual(array.geometry.memberBytes);
  expect(statSync(bench.paths[0]!).blocks * 512).toBeGreaterThanOrEqual(array.geometry.memberBytes);
  expect(array.describe()).toMatch(
    /^healthy; 4 members, parity one, strips of 4 KiB, .*member-0 \((O_DIRECT|buffered)/,
  );
  expect(array.readCheckpoint()).toBeNull();
  expect(bench.events.map((event) => event.transition)).toEqual(["cacheCreated"]);
});

test("RED-15: what was written and the checkpoint are there after a restart", () => {
  using bench = new TestBench();
  const model = used(bench);
  const array = bench.open();
  expect(array.readCheckpoint()).toEqual({
    generation: 1,
    J: 4096,
    sequence: 7,
    image: 2,
    position: 6,
    identity: '{"barcode":"UND001L8"}',
  });
  expect(isReadable(bench, model)).toBe(true);
});

test("a file with a foreign signature stops the start, is named, and is never written", () => {
  for (const at of [0, 1, 2, 3]) {
    using bench = new TestBench();
    const foreign = [
      Buffer.from("not a cache member"),
      Buffer.concat([Buffer.alloc(32768), Buffer.from("\x01CD001")]), // an ISO image begins with 32 KiB of zeros
      Buffer.concat([Buffer.alloc(5 * MIB), Buffer.from("EFI PART")]), // a label at the end
      Buffer.concat([Buffer.from("USTYCACH"), Buffer.alloc(MIB)]),
    ][at]!;
    writeFileSync(bench.paths[at]!, foreign);
    expect(bench.tryOpen()).toMatchObject({ kind: "refused", path: bench.paths[at]! });
    expect(Buffer.compare(readFileSync(bench.paths[at]!), foreign)).toBe(0);
    for (const [other, path] of bench.paths.entries()) if (other !== at) expect(existsSync(path)).toBe(false);
  }
});

test("a directory, a path in no directory, a path named twice: the start stops and names it", () => {
  using bench = new TestBench();
  mkdirSync(bench.paths[2]!);
  expect(bench.tryOpen()).toMatchObject({
    kind: "refused",
    path: bench.paths[2]!,
    reason: expect.stringContaining("neither"),
  });
  bench.paths[2] = `${bench.directory}/nowhere/member`;
  expect(bench.tryOpen()).toMatchObject({
    kind: "refused",
    path: bench.paths[2],
    reason: expect.stringContaining("ENOENT"),
  });
  bench.paths[2] = bench.paths[1]!;
  expect(bench.tryOpen()).toMatchObject({ kind: "refused", reason: expect.stringContaining("twice") });
});

test("members of another device, array, shape or place stop the start", () => {
  using bench = new TestBench();
  using other = new TestBench();
  used(bench);
  used(other);
  expect(bench.tryOpen("drive-2")).toMatchObject({
    kind: "refused",
    reason: expect.stringContaining("device drive-1"),
  });
  expect(bench.tryOpen("drive-1", { parity: "none" })).toMatchObject({ kind: "refused" });
  expect(bench.tryOpen("drive-1", { members: 3 })).toMatchObject({ kind: "refused" });
  const [first, second] = [bench.paths[0]!, bench.paths[1]!];
  bench.paths[0] = second;
  bench.paths[1] = first;
  expect(bench.tryOpen()).toMatchObject({ kind: "refused", reason: expect.stringContaining("is member 1") });
  bench.paths[0] = first;
  bench.paths[1] = other.paths[1]!;
  expect(bench.tryOpen()).toMatchObject({
    kind: "refused",
    path: other.paths[1]!,
    reason: expect.stringContaining("another cache array"),
  });
});

test("two programs cannot have one array", () => {
  using bench = new TestBench();
  bench.open();
  const first = bench.array!;
  expect(bench.tryOpen()).toMatchObject({ kind: "refused", reason: "in use by another process" });
  first.close();
  expect(bench.open().state).toBe("healthy");
});

test("RED-03: degraded start: a member absent, emptied, cut short or damaged is lost, the rest is read by parity", () => {
  const accidents: ((path: string) => void)[] = [
    (path) => rmSync(path),
    (path) => writeFileSync(path, ""),
    (path) => truncateSync(path, MIB + 4096),
    (path) => corrupt(path, 100, 20_000),
  ];
  for (const accident of accidents) {
    using bench = new TestBench();
    const model = used(bench);
    accident(bench.paths[1]!);
    const there = existsSync(bench.paths[1]!);
    const array = bench.open();
    expect(array.state).toBe("degraded");
    expect(existsSync(bench.paths[1]!)).toBe(there); // an unmounted disk's mount point stays empty
    expect(isReadable(bench, model)).toBe(true);
    expect(array.readCheckpoint()?.J).toBe(4096);
    array.startAt(model.headJ);
    expect(model.write(array, 2)).toBe(true);
  }
});

test("RED-03: a disk that missed writes is not believed when it comes back, until it is rebuilt", () => {
  using bench = new TestBench();
  const model = used(bench);
  const kept = `${bench.directory}/kept`;
  copyFileSync(bench.paths[2]!, kept);
  rmSync(bench.paths[2]!);
  bench.open().startAt(model.headJ);
  for (let i = 0; i < 4; i++) model.write(bench.array!, 8);
  bench.array!.writeCheckpoint({ J: model.headJ, sequence: 70, image: 2, position: 60 });
  bench.crash();
  copyFileSync(kept, bench.paths[2]!);
  const array = bench.open();
  expect(array.state).toBe("degraded");
  expect(array.readCheckpoint()?.sequence).toBe(70);
  const from = model.headJ - bench.cacheBytes;
  const into = Buffer.alloc(bench.cacheBytes);
  expect(array.read(from, into.length, Number(ptr(into)))).toBe(into.length);
  expect(Buffer.compare(into, model.expected(from, into.length))).toBe(0);
  array.startAt(model.headJ);
  expect(array.replaceMember(2, bench.paths[2]!).kind).toBe("rebuilding");
  bench.crash(); // in the middle of the rebuild: it begins again by itself
  const again = bench.open();
  expect(again.state).toBe("degraded");
  again.startAt(model.headJ);
  while (again.rebuildStep() === "worked");
  expect(again.state).toBe("healthy");
  bench.crash();
  expect(bench.open().state).toBe("healthy");
});

test("RED-03: a disk that failed while writing stays out after a restart", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  const model = new ModelJournal(bench, 1);
  model.write(array, 2);
  bench.faults.on("pwritev", 0, 1, -EIO);
  model.write(array, 2);
  bench.faults.clear();
  bench.crash();
  expect(bench.open().state).toBe("degraded");
  expect(isReadable(bench, model)).toBe(true);
});

test("a superblock torn by a crash is read from its copy; a disk written over by something else is not", () => {
  using bench = new TestBench();
  const model = used(bench);
  corrupt(bench.paths[0]!, 200, 64);
  corrupt(bench.paths[1]!, SUPERBLOCK_COPY_AT + 200, 64);
  expect(bench.open().state).toBe("healthy");
  expect(isReadable(bench, model)).toBe(true);
  bench.crash();
  corrupt(bench.paths[0]!, 0, 512);
  expect(bench.tryOpen()).toMatchObject({ kind: "refused", path: bench.paths[0]! });
});

test("a checkpoint torn by a crash leaves the one before", () => {
  using bench = new TestBench();
  const array = bench.open();
  array.startAt(0);
  for (let n = 1; n <= 5; n++) array.writeCheckpoint({ J: n * 512, sequence: n, image: 1, position: n });
  bench.crash();
  for (const path of bench.paths) corrupt(path, 8192 + 100, 16); // generation 5 lies in the second slot
  expect(bench.open().readCheckpoint()).toMatchObject({ generation: 4, J: 2048, sequence: 4 });
});

test("an array torn while it was made is made again, whole; nothing of it was ever used", () => {
  for (let written = 0; written <= 16; written++) {
    using bench = new TestBench();
    // The process dies after so many blocks: what it writes later never happens.
    const { io } = bench.faults;
    const pwrite = io.pwrite;
    let left = written;
    io.pwrite = (member, fd, address, bytes, offset) => {
      return left-- > 0 ? pwrite(member, fd, address, bytes, offset) : bytes;
    };
    bench.open();
    bench.crash();
    io.pwrite = pwrite;
    expect(bench.open().state).toBe("healthy");
    bench.crash();
    expect(bench.tryOpen()).toMatchObject({ kind: "open", created: false });
    expect(bench.array!.state).toBe("healthy");
  }
});

test("all members lost: open, lost, and said so; the tape goes on alone", () => {
  using bench = new TestBench();
  used(bench);
  rmSync(bench.paths[0]!);
  rmSync(bench.paths[1]!);
  const array = bench.open();
  expect(array.state).toBe("lost");
  expect(bench.events.at(-1)).toMatchObject({ severity: "alarm", transition: "cacheLost" });
});

test("rule 8: a shape that does not fit is refused with the key and what was expected", () => {
  const shape = {
    members: 3,
    parity: "one",
    stripBytes: 4096,
    ringBytes: 81920,
    cacheBytes: 163840,
  } as const;
  expect(planGeometry(shape).kind).toBe("geometry");
  for (const [key, value] of [
    ["members", 17],
    ["members", 1],
    ["stripBytes", 5000],
    ["ringBytes", 81920 + 4096],
    ["cacheBytes", 81920 * 2.5],
    ["cacheBytes", 0],
  ] as const)
    expect(planGeometry({ ...shape, [key]: value })).toMatchObject({ kind: "impossible", key });
  expect(HEAD_BYTES).toBeLessThan(MIB);
});
