import { afterAll, expect, test } from "bun:test";
import { appendFileSync, copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { libc, O_RDWR, openFile } from "../../base/ffi.ts";
import { JournalWriter, readJournal } from "./journal.ts";
import { openArchive } from "./reader.ts";
import { ArchiveSpace } from "./space.ts";
import { noise, TestArchive, testHeader } from "./testing.ts";
import { dropUnused, type TakenOver, takeOver } from "./takeover.ts";
import { createFrameRoom } from "./workspace.ts";

const dir = mkdtempSync(join(tmpdir(), "understudy-takeover-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const room = createFrameRoom();

function taken(path: string): TakenOver {
  const fd = openFile(path, O_RDWR);
  const result = takeOver(fd, room);
  libc.close(fd);
  if (result.kind !== "takenOver") throw new Error(result.text);
  return result;
}

const CHUNKS = [noise(5000, 1), new Uint8Array(9000), noise(262152, 2), noise(100, 3)];

function partial(name: string): { path: string; archive: TestArchive } {
  const path = join(dir, name);
  const archive = new TestArchive(path, testHeader(3));
  for (const plain of CHUNKS) archive.chunk(plain);
  return { path, archive };
}

test("an interrupted archive gives its whole chunks to the next run, wherever it was cut", () => {
  const { path, archive } = partial("cut");
  const found = taken(path);
  const ends = [0, 1, 2, 3].map((chunk) => {
    const { offset, storedBytes } = found.chunks.row(chunk) ?? { offset: 0, storedBytes: 0 };
    return Math.ceil((offset + 32 + storedBytes) / 16) * 16;
  });
  const size = archive.space.tail;
  const cut = join(dir, "cut-copy");
  const places = [...ends, ...ends.map((end) => end - 1), ...ends.map((end) => end + 20), 4097, 4096];
  for (const bytes of places) {
    copyFileSync(path, cut);
    truncateSync(cut, bytes);
    const found = taken(cut);
    const whole = [0, 1, 2, 3].filter((chunk) => found.chunks.has(chunk));
    expect(whole.length).toBe(ends.filter((end) => end <= bytes).length);
    expect(found.nextChunk).toBe(whole.length);
    expect(found.tail).toBeLessThanOrEqual(Math.max(bytes, 4096));
    for (const chunk of whole) expect(found.chunks.plainBytes(chunk)).toBe(CHUNKS[chunk]?.length ?? -1);
    expect(Bun.file(cut).size).toBe(found.tail);
  }
  expect(ends[3]).toBe(size);
  truncateSync(cut, 4000);
  const fd = openFile(cut, O_RDWR);
  expect(takeOver(fd, room)).toMatchObject({ kind: "incomplete" });
  libc.close(fd);
});

test("a torn chunk in the middle becomes zeros, and the archive is finished around it", () => {
  const { path, archive } = partial("torn");
  const before = readFileSync(path);
  // Chunk 1's frame lies behind the first: spoil its stored bytes.
  libc.pwrite(archive.fd, archive.room.workspace.base + archive.room.plainAt, 8, 4096 + 5040 + 40);
  appendFileSync(path, noise(5000, 9));
  const found = taken(path);
  expect([0, 1, 2, 3].map((chunk) => found.chunks.has(chunk))).toEqual([true, false, true, true]);
  expect(found.tail).toBe(before.length);
  const hole = readFileSync(path).subarray(4096 + 5040, found.chunks.offset(2));
  expect(hole.every((byte) => byte === 0)).toBe(true);
  expect(ArchiveSpace.create(found.tail, found.nextChunk).takeChunk()).toBe(4);
  archive.finish([]);
  expect(openArchive(path, room).kind).toBe("archive");
});

test("chunks that nobody refers to give their room back, and the archive is finished around them", () => {
  for (const wanted of [[0, 2], [1, 3], [3], [], [0, 1, 2, 3]]) {
    const { path, archive } = partial(`drop-${wanted.join("")}`);
    const before = taken(path);
    const fd = openFile(path, O_RDWR);
    const kept = dropUnused(fd, room, before, (chunk) => wanted.includes(chunk));
    libc.close(fd);
    if (kept.kind !== "kept") throw new Error(kept.text);
    const after = taken(path);
    expect([0, 1, 2, 3].filter((chunk) => after.chunks.has(chunk))).toEqual(wanted);
    for (const chunk of wanted) expect(after.chunks.row(chunk)).toEqual(before.chunks.row(chunk));
    expect([after.rows, after.tail, after.nextChunk]).toEqual([kept.rows, kept.tail, kept.nextChunk]);
    const bytes = readFileSync(path);
    expect(bytes.length).toBe(kept.tail);
    for (const chunk of [0, 1, 2, 3].filter((chunk) => !wanted.includes(chunk))) {
      const { offset, storedBytes } = before.chunks.row(chunk) ?? { offset: 0, storedBytes: 0 };
      expect(bytes.subarray(offset, offset + 32 + storedBytes).every((byte) => byte === 0)).toBe(true);
    }
    libc.close(archive.fd);
  }
});

test("a frame of another archive that was itself backed up is nobody's chunk", () => {
  const inner = partial("inner");
  const path = join(dir, "outer");
  const outer = new TestArchive(path, testHeader(4, "none"));
  const bytes = new Uint8Array(readFileSync(inner.path)).subarray(4096, 4096 + 9136);
  outer.chunk(bytes);
  // The outer frame's header is torn: what is in it lies bare, at the very offsets of the archive it came from.
  libc.pwrite(outer.fd, outer.room.workspace.base + outer.room.plainAt, 16, 4096);
  expect(taken(path).nextChunk).toBe(0);
});

test("a finished archive whose rename is missing is taken over for its chunks", () => {
  const { path, archive } = partial("finished");
  archive.finish([noise(1000, 1)]);
  const found = taken(path);
  expect(found.nextChunk).toBe(4);
  expect(found.header).toEqual(testHeader(3));
});

test("a journal is read up to the first batch that is torn", () => {
  const path = join(dir, "journal");
  const writer = JournalWriter.create(path, 77n, room);
  if ("kind" in writer) throw new Error(writer.text);
  const batches = [noise(100, 1), new Uint8Array(0), noise(70_000, 2)];
  for (const batch of batches) expect(writer.append(batch)).toBe(null);
  writer.close();
  const whole = readFileSync(path);
  const ends = [24, 24 + 116, 24 + 132, whole.length];
  for (const cut of [...ends, 25, 30, 100, 150, whole.length - 1]) {
    truncateSync(path, 0);
    appendFileSync(path, whole.subarray(0, cut));
    const read = readJournal(path, room);
    if (read.kind !== "journal") throw new Error(read.text);
    const count = ends.filter((end) => end <= cut).length - 1;
    expect(read).toMatchObject({ salt: 77n, goodBytes: ends[count] ?? -1 });
    expect(read.batches.map((batch) => batch.length)).toEqual(batches.slice(0, count).map((b) => b.length));
    const more = JournalWriter.resume(path, read.goodBytes, room);
    if ("kind" in more) throw new Error(more.text);
    expect(more.append(noise(10, 5))).toBe(null);
    more.close();
    const again = readJournal(path, room);
    expect(again.kind === "journal" && again.batches.length).toBe(count + 1);
  }
  truncateSync(path, 20);
  expect(readJournal(path, room).kind).toBe("damaged");
});
