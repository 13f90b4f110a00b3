/** @module Flips bits in every part of an archive file: the full check notices each, and names what it damages. */
import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FOOTER_BYTES, FRAME_KIND } from "../../src/backup/archive/layout.ts";
import { openArchive } from "../../src/backup/archive/reader.ts";
import { createFrameRoom } from "../../src/backup/archive/workspace.ts";
import { indexOf, sampleBackup } from "../../src/backup/verify/testing.ts";
import { verifyBackup } from "../../src/backup/verify/verify.ts";

const dir = mkdtempSync(join(tmpdir(), "understudy-flips-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const good = join(dir, "good");
sampleBackup(good);

test("any flipped bit is noticed by the full check, and what it damages is named", async () => {
  const path = join(dir, "flipped");
  const bytes = readFileSync(good);
  const opened = openArchive(good, createFrameRoom());
  if (opened.kind !== "archive") throw new Error(opened.text);
  const { archive } = opened;
  const places = new Map<number, string>();
  const spread = (from: number, to: number, what: string, step: number) => {
    for (let at = from; at < to; at += step) places.set(at, what);
    places.set(to - 1, what);
  };
  spread(0, 4096, "header", 37);
  for (let at = 0; at < 32; at++) places.set(at, "header");
  for (let chunk = 0; chunk < archive.footer.chunks; chunk++) {
    const row = archive.chunk(chunk);
    if (row === null || "kind" in row) throw new Error("no chunk");
    const end = Math.ceil((row.offset + 32 + row.storedBytes) / 16) * 16;
    for (let at = 0; at < 32; at++) places.set(row.offset + at, "chunk");
    spread(row.offset + 32, row.offset + 32 + row.storedBytes, "chunk", 20_011);
    for (let at = row.offset + 32 + row.storedBytes; at < end; at++) places.set(at, "padding");
  }
  for (const kind of [FRAME_KIND.table, FRAME_KIND.index, FRAME_KIND.extra]) {
    const frames = archive.frames(kind);
    if ("kind" in frames) throw new Error(frames.text);
    for (const frame of frames)
      spread(
        frame.offset,
        Math.ceil((frame.offset + 32 + frame.storedBytes) / 16) * 16,
        kind === FRAME_KIND.index ? "index" : "section",
        61,
      );
  }
  spread(bytes.length - FOOTER_BYTES, bytes.length, "footer", 1);
  const whole = await verifyBackup({
    level: "full",
    archivePath: good,
    entries: indexOf(good),
    cached: true,
  });
  const files = whole.kind === "verified" && whole.ok ? whole.files : -1;
  let [bit, tried] = [0, 0];
  for (const [at, what] of places) {
    const flipped = Buffer.from(bytes);
    bit = (bit + 3) % 8;
    flipped[at] = (flipped[at] as number) ^ (1 << bit);
    writeFileSync(path, flipped);
    const report = await verifyBackup({
      level: "full",
      archivePath: path,
      entries: indexOf(path),
      cached: true,
    });
    tried++;
    if (report.kind !== "verified") throw new Error(`${what} at ${at}: ${report.text}`);
    expect([at, what, report.ok]).toEqual([at, what, false]);
    if (what === "chunk") {
      expect([at, report.damagedChunks.length]).toEqual([at, 1]);
      expect(report.damagedFileCount).toBeGreaterThan(0);
      continue;
    }
    expect([at, report.damage.length > 0]).toEqual([at, true]);
    // What says where things are is there twice: no file is lost by it.
    if (what !== "index") expect([at, what, report.files]).toEqual([at, what, files]);
  }
  expect(tried).toBeGreaterThan(600);
}, 60_000);
