/** @module Archives where many threads write at once, and where the disk has no more room. */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openArchive } from "../../src/backup/archive/reader.ts";
import { noise, TestArchive, testHeader } from "../../src/backup/archive/testing.ts";
import { createFrameRoom } from "../../src/backup/archive/workspace.ts";
import { libc } from "../../src/base/ffi.ts";
import { FullIndexWriter } from "../../src/backup/index/full.ts";
import { indexOf } from "../../src/backup/verify/testing.ts";
import { verifyBackup } from "../../src/backup/verify/verify.ts";
import type { ChunkAnswer, ChunkJob } from "./chunk-worker.ts";

const dir = mkdtempSync(join(tmpdir(), "understudy-threads-"));
const mounted: string[] = [];
afterAll(() => {
  for (const at of mounted) Bun.spawnSync(["umount", at]);
  rmSync(dir, { recursive: true, force: true });
});
const room = createFrameRoom();

test("four threads write one archive: every chunk is where the table says, and nothing overlaps", async () => {
  const path = join(dir, "threads");
  const archive = new TestArchive(path, testHeader(2));
  const jobs = Array.from({ length: 4 }, (_, n): ChunkJob => {
    return { path, space: archive.space.buffer, salt: archive.header.salt, seed: n + 1, chunks: 60 };
  });
  const answers = await Promise.all(
    jobs.map(async (job) => {
      const worker = new Worker(new URL("./chunk-worker.ts", import.meta.url).href);
      const { promise, resolve, reject } = Promise.withResolvers<ChunkAnswer>();
      worker.onmessage = (event: MessageEvent<ChunkAnswer>) => resolve(event.data);
      worker.addEventListener("error", (event: ErrorEvent) => reject(new Error(event.message)));
      worker.postMessage(job);
      return await promise.finally(() => worker.terminate());
    }),
  );
  for (const { rows } of answers) archive.finisher.addRows(rows);
  archive.begin();
  new FullIndexWriter(archive.finisher).finish();
  archive.end();
  const written = answers.flatMap((answer) => answer.written);
  expect(new Set(written.map(([chunk]) => chunk)).size).toBe(240);
  const opened = openArchive(path, room);
  if (opened.kind !== "archive") throw new Error(opened.text);
  const { workspace, storedAt, plainAt } = room;
  for (const [chunk, hash] of written) {
    const bytes = opened.archive.readChunk(chunk, workspace, storedAt, plainAt);
    if (typeof bytes !== "number") throw new Error(bytes.text);
    expect(workspace.hash(plainAt, bytes)).toBe(hash);
  }
  opened.archive.close();
  const report = await verifyBackup({ level: "full", archivePath: path, entries: indexOf(path) });
  expect(report).toMatchObject({ kind: "verified", ok: true, chunks: 240 });
}, 30_000);

/** A file system of its own; null: only root may have one. */
function smallDisk(name: string, kib: number): string | null {
  const at = join(dir, name);
  mkdirSync(at);
  const { success } = Bun.spawnSync(["mount", "-t", "tmpfs", "-o", `size=${kib}k`, "none", at], {
    stderr: "ignore",
  });
  if (success) mounted.push(at);
  return success ? at : null;
}

test("no room for a chunk is an outcome; when there is room again, it takes the place it had", () => {
  const at = smallDisk("chunk", 1024);
  if (at === null) return;
  const path = join(at, "archive");
  const archive = new TestArchive(path, testHeader(1, "none"));
  expect(archive.chunk(noise(100_000, 1))).toBe(0);
  const filler = join(at, "filler");
  writeFileSync(filler, noise(700_000, 2));
  const { workspace, writer, space } = archive;
  workspace.bytes.set(noise(250_000, 3), writer.plainAt);
  expect(writer.flush(250_000)).toMatchObject({ kind: "noSpace" });
  expect(writer.flush(250_000)).toMatchObject({ kind: "noSpace" });
  const { tail } = space;
  rmSync(filler);
  expect(writer.flush(250_000)).toMatchObject({ kind: "written", chunk: 1 });
  expect(space.tail).toBe(tail);
  // One more fails, and is given up for a smaller one: its place becomes zeros.
  writeFileSync(filler, noise(500_000, 2));
  workspace.bytes.set(noise(250_000, 4), writer.plainAt);
  expect(writer.flush(250_000)).toMatchObject({ kind: "noSpace" });
  rmSync(filler);
  expect(writer.flush(1000)).toMatchObject({ kind: "written", chunk: 2 });
  archive.finish([]);
  const opened = openArchive(path, room);
  if (opened.kind !== "archive") throw new Error(opened.text);
  expect(opened.archive.readChunk(2, room.workspace, room.storedAt, room.plainAt)).toBe(1000);
  opened.archive.close();
});

test("no room for table, index, extra or footer is an outcome, and the file is no backup then", async () => {
  const at = smallDisk("finish", 256);
  if (at === null) return;
  const path = join(at, "archive");
  const seen = new Set<string>();
  for (let kib = 0; kib <= 160; kib += 4) {
    rmSync(path, { force: true });
    writeFileSync(join(at, "filler"), new Uint8Array(kib * 1024));
    const archive = new TestArchive(path, testHeader(1, "none"));
    archive.chunk(noise(60_000, 1));
    archive.finisher.addRows(archive.writer.takeRows());
    const begun = archive.finisher.begin();
    for (let page = 0; page < 4; page++) archive.finisher.frame(noise(20_000, page));
    const counts = { entries: 0, files: 0, finishedAtMs: 0, changes: noise(20_000, 9) };
    const done = archive.finisher.finish({
      ...counts,
      extra: { users: {}, groups: {}, counts: {}, errors: [] },
    });
    libc.close(archive.fd);
    seen.add(`${begun?.kind ?? "begun"}, ${done.kind}`);
    const opened = openArchive(path, room);
    expect([kib, opened.kind]).toEqual([kib, done.kind === "finished" ? "archive" : "incomplete"]);
    if (opened.kind === "archive") opened.archive.close();
  }
  expect([...seen].sort()).toEqual(["begun, finished", "begun, noSpace"]);
});
