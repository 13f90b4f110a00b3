import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { openArchive } from "../archive/reader.ts";
import { noise, testHeader } from "../archive/testing.ts";
import { createFrameRoom } from "../archive/workspace.ts";
import { type Entry, FLAG, PIECE_BYTES } from "../entry.ts";
import { indexOf, TestBackup, words } from "./testing.ts";
import type { VerifyReport, VerifyRequest } from "./types.ts";
import { runVerifyShare } from "./share.ts";
import { verifyBackup } from "./verify.ts";

const dir = mkdtempSync(join(tmpdir(), "understudy-ancestors-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));
const [first, second] = [join(dir, "1"), join(dir, "2")];

const before = noise(3 * PIECE_BYTES + 1000, 1);
const after = new Uint8Array(before);
after.set(words(5000), PIECE_BYTES + 77);

/** Backup 2 has its own second piece of a large file, the rest of it and a small file are backup 1's. */
const full = new TestBackup(first, testHeader(1));
const large = full.file("large", [before]);
const small = full.file("small", [words(9000)]);
full.finish();

const micro = new TestBackup(second, { ...testHeader(2), level: "micro", parent: 1 });
micro.file("large", [after], (entry) => {
  // As a run stores it: only the piece that differs.
  const own = Array.from(entry.spans.subarray(4, 8));
  entry.spans.set(large.spans.subarray(0, 16));
  entry.spans.set(own, 4);
});
micro.file("small", [words(9000)], (entry: Entry) => {
  entry.takeContent(small);
  entry.flags = FLAG.unchanged;
});
micro.finish();

async function verified(change: Partial<VerifyRequest> = {}): Promise<VerifyReport> {
  const report = await verifyBackup({
    level: "full",
    archivePath: second,
    entries: indexOf(second),
    cached: true,
    ...change,
  });
  if (report.kind !== "verified") throw new Error(report.text);
  return report;
}

const pathOf = (pack: number) => (pack === 1 ? first : second);
const names = (report: VerifyReport) => report.damagedFiles.map(({ path }) => Buffer.from(path).toString());

test("TREE-08: a backup alone is checked by its own pieces, with its ancestors by all of each file", async () => {
  expect(await verified()).toMatchObject({ ok: true });
  expect(await verified({ archivePathOf: pathOf })).toMatchObject({ ok: true });
  expect(await verified({ level: "quick" })).toMatchObject({ ok: true });
  expect(await verified({ level: "quick", archivePathOf: pathOf })).toMatchObject({ ok: true });
});

test("damage in an ancestor is named by the files of the heir that it touches", async () => {
  const bytes = readFileSync(first);
  const opened = openArchive(first, createFrameRoom());
  if (opened.kind !== "archive") throw new Error(opened.text);
  for (const [file, chunk] of [
    ["large", large.spans[1]],
    ["small", small.spans[1]],
  ] as const) {
    const row = opened.archive.chunk(chunk ?? -1);
    if (row === null || "kind" in row) throw new Error("no chunk");
    const flipped = Buffer.from(bytes);
    flipped[row.offset + 100] = (flipped[row.offset + 100] as number) ^ 1;
    const path = join(dir, "flipped");
    writeFileSync(path, flipped);
    expect(await verified()).toMatchObject({ ok: true });
    const report = await verified({ archivePathOf: (pack) => (pack === 1 ? path : second) });
    expect(report.damagedChunks).toMatchObject([{ pack: 1, chunk }]);
    expect(names(report)).toContain(file);
  }
  opened.archive.close();
});

test("an ancestor that is not there is told, and which files lack it", async () => {
  const report = await verified({ archivePathOf: (pack) => (pack === 1 ? null : second) });
  expect(report.ok).toBe(false);
  expect(report.damage).toEqual(["backup 1 is not there, but its data is needed"]);
  expect(names(report)).toEqual(["large", "small"]);
});

test("several shares of one plan do the work once, and stop when they are told to", async () => {
  let shares = 0;
  const threads = {
    count: 3,
    run: async (start: Parameters<typeof runVerifyShare>[0]) => {
      shares++;
      return runVerifyShare(start);
    },
  };
  const alone = await verified({ archivePathOf: pathOf });
  expect(await verified({ archivePathOf: pathOf, threads })).toEqual(alone);
  expect(shares).toBe(3);
  const stopped = await verified({ threads, signal: AbortSignal.abort() });
  expect(stopped).toMatchObject({ ok: false, stopped: true, chunks: 0 });
});
