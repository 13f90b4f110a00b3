import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ChunkCache, chunkCacheBytes } from "./chunk-cache.ts";
import { type ArchiveReader, openArchive } from "./reader.ts";
import { noise, TestArchive, testHeader } from "./testing.ts";
import { createFrameRoom, Workspace } from "./workspace.ts";

const dir = mkdtempSync(join(tmpdir(), "understudy-archive-"));
afterAll(() => rmSync(dir, { recursive: true, force: true }));

const room = createFrameRoom();

function opened(path: string): ArchiveReader {
  const result = openArchive(path, room);
  if (result.kind !== "archive") throw new Error(result.text);
  return result.archive;
}

for (const codec of ["none", "lz4", "zstd"] as const) {
  test(`TREE-09, TREE-06: an archive packed by ${codec} is read back: header, chunks, index, extra`, () => {
    const path = join(dir, codec);
    const archive = new TestArchive(path, testHeader(7, codec));
    const text = new Uint8Array(Buffer.from("a line that comes again\n".repeat(10000)));
    const chunks = [text, noise(262152, 1), noise(1, 2), new Uint8Array(262144)];
    for (const [number, plain] of chunks.entries()) expect(archive.chunk(plain)).toBe(number);
    const pages = [text.subarray(0, 1000), noise(200_000, 3), new Uint8Array(0)];
    const done = archive.finish(pages, { entries: 5, files: 4 });
    expect(done.chunks).toBe(4);
    expect(done.bytes).toBe(Bun.file(path).size);

    const reader = opened(path);
    expect(reader.header).toEqual(testHeader(7, codec));
    expect(reader.footer).toMatchObject({ entries: 5, files: 4, chunks: 4, plainBytes: done.plainBytes });
    expect(Buffer.from(reader.footer.root)).toEqual(Buffer.from(done.root));
    const index = reader.indexPages();
    expect(index.count).toBe(3);
    for (const [n, page] of pages.entries()) expect(Buffer.compare(index.page(n), page)).toBe(0);
    expect(reader.extra()).toMatchObject({ kind: "extra", changes: new Uint8Array(0) });

    const memory = new WebAssembly.Memory({ initial: 40, maximum: 40, shared: true });
    const workspace = new Workspace(memory, 0);
    expect(131072 + chunkCacheBytes(2)).toBeLessThan(memory.buffer.byteLength);
    const cache = new ChunkCache(workspace, 131072, 2, () => reader);
    for (const [number, plain] of [...chunks.entries(), ...chunks.entries()]) {
      if (plain.length <= 8) continue;
      const at = cache.span(7, number, 8, plain.length - 8);
      if (typeof at !== "number") throw new Error(at.text);
      expect(Buffer.compare(workspace.bytes.slice(at, at + plain.length - 8), plain.subarray(8))).toBe(0);
    }
    expect(cache.span(7, 2, 8, 1)).toMatchObject({ kind: "damaged" });
    expect(cache.span(7, 4, 8, 1)).toMatchObject({ kind: "damaged" });
    expect(reader.chunk(4)).toBe(null);
    reader.close();
  });
}

test("an archive without a chunk is one", () => {
  const path = join(dir, "empty");
  new TestArchive(path).finish([]);
  const reader = opened(path);
  expect(reader.footer.chunks).toBe(0);
  expect(reader.chunk(0)).toBe(null);
  reader.close();
});
