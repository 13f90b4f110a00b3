import { afterAll, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FOOTER_BYTES } from "../archive/layout.ts";
import { openArchive } from "../archive/reader.ts";
import { noise, testHeader } from "../archive/testing.ts";
import { createFrameRoom } from "../archive/workspace.ts";
import { indexOf, sampleBackup, TestBackup, words } from "./testing.ts";
import type { VerifyReport } from "./types.ts";
import { verifyBackup } from "./verify.ts";

const dir = mkdtempSync(join(tmpdir(), "understudy-verify-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

async function verified(path: string, level: "quick" | "full" = "full", own = path): Promise<VerifyReport> {
  const report = await verifyBackup({ level, archivePath: path, entries: indexOf(own), cached: true });
  if (report.kind !== "verified") throw new Error(report.text);
  return report;
}

const good = join(dir, "good");
sampleBackup(good);

for (const level of ["quick", "full"] as const)
  test(`TREE-08: a backup that is what was written passes the ${level} check`, async () => {
    const report = await verified(good, level);
    expect(report).toMatchObject({ ok: true, damage: [], damagedChunks: [], damagedFiles: [] });
    expect(report.files).toBeGreaterThan(60);
    expect(report.chunks).toBeGreaterThan(0);
  });

test("TREE-08: the full check looks at every chunk once; the quick one at those where files begin", async () => {
  const opened = openArchive(good, createFrameRoom());
  if (opened.kind !== "archive") throw new Error(opened.text);
  expect((await verified(good)).chunks).toBe(opened.archive.footer.chunks);
  expect((await verified(good)).plainBytes).toBe(opened.archive.footer.plainBytes);
  expect((await verified(good, "quick")).chunks).toBeLessThan(opened.archive.footer.chunks);
});

test("TREE-08: an index that points to another file's data, or past it, is told by the small header", async () => {
  const path = join(dir, "crossed");
  const backup = new TestBackup(path, testHeader(5));
  backup.file("a", [words(100)]);
  backup.file("b", [words(100)], (entry) => entry.spans.set([5, 0, 8, 100]));
  backup.file("c", [words(100)], (entry) => entry.spans.set([5, 0, 9, 100]));
  backup.file("d", [words(100)], (entry) => entry.spans.set([5, 0, 400, 100]));
  backup.file("e", [words(100)], (entry) => entry.spans.set([5, 9, 8, 100]));
  backup.file("f", [words(100)], (entry) => {
    entry.sizeBytes = 99;
    entry.spans[3] = 99;
  });
  backup.finish();
  for (const level of ["quick", "full"] as const) {
    const report = await verified(path, level);
    const named = report.damagedFiles.map(({ path }) => Buffer.from(path).toString()).sort();
    expect([level, named]).toEqual([level, ["b", "c", "d", "e", "f"]]);
    expect(report.ok).toBe(false);
  }
});

test("content that is not what its SHA-256 says is found by the full check, in whatever shape it is stored", async () => {
  const path = join(dir, "sha");
  const backup = new TestBackup(path, testHeader(5));
  const spoil = (entry: { sha256: Uint8Array }) => entry.sha256.fill(1);
  backup.file("one run", [words(100)], spoil);
  backup.file("runs", [words(100), 500, words(20)], spoil);
  backup.file("pieces", [noise(300_000, 1)], spoil);
  backup.file("empty", [], spoil);
  backup.file("good", [noise(300_000, 2)]);
  backup.file("piece", [noise(300_000, 3)], (entry) => {
    (entry.pieceHashes as BigUint64Array)[1] = 5n;
  });
  backup.finish();
  const report = await verified(path);
  const named = report.damagedFiles.map(({ path }) => Buffer.from(path).toString()).sort();
  expect(named).toEqual(["empty", "one run", "piece", "pieces", "runs"]);
});

test("a file that ends anywhere before its end is no backup", async () => {
  const path = join(dir, "cut");
  const bytes = readFileSync(good).length;
  const cuts = [1, 2, 15, 16, 100, 511, 512, 513, 600, 1000, 5000, 20_000, 100_000];
  for (const cut of [...cuts, bytes - 4096, bytes - 4095, bytes - 100, bytes]) {
    copyFileSync(good, path);
    truncateSync(path, bytes - cut);
    const report = await verifyBackup({ level: "quick", archivePath: path, entries: indexOf(path) });
    // All that is missing is a part of the footer: it can be mended, but it is told.
    if (cut <= FOOTER_BYTES) expect(report).toMatchObject({ ok: false, damagedFileCount: 0 });
    else expect([cut, report.kind]).toEqual([cut, "incomplete"]);
  }
  writeFileSync(path, Buffer.concat([readFileSync(good), Buffer.alloc(512)]));
  expect(await verified(path, "quick")).toMatchObject({ ok: false, damagedFileCount: 0 });
  writeFileSync(path, readFileSync(good).subarray(16));
  expect((await verifyBackup({ level: "quick", archivePath: path, entries: indexOf(path) })).kind).toBe(
    "foreign",
  );
});
