import { expect, test } from "bun:test";
import type { Statx } from "../../base/files.ts";
import { sparedBy } from "./spared.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));
const found = (change: Partial<Statx> = {}) =>
  ({ device: 8 * 2 ** 20 + 1, sizeBytes: 10, attributes: 0, ...change }) as Statx;

const selection = {
  exclude: ["*.o", "/cache/", "!keep.o"],
  excludeCaches: true,
  sizeMaxBytes: 1000,
  honourNodump: true,
  oneFileSystem: true,
};
const request = { selection, roots: [bytes("src"), bytes("etc")], unread: [bytes("src/locked")], stores: [] };

test("TREE-13: --delete leaves alone what was left out of the backup on purpose", () => {
  const spared = sparedBy(request);
  const isExcluded = (path: string, isDirectory = false, change: Partial<Statx> = {}) =>
    spared?.isExcluded(bytes(path), isDirectory, found(change));
  expect(isExcluded("src/a/b.o")).toBe(true);
  expect(isExcluded("src/a/keep.o")).toBe(false);
  expect(isExcluded("src/cache", true)).toBe(true);
  expect(isExcluded("src/cache")).toBe(false);
  expect(isExcluded("src/a/cache", true)).toBe(false);
  expect(isExcluded("src/plain")).toBe(false);
  expect(isExcluded("src/plain", false, { sizeBytes: 1001 })).toBe(true);
  expect(isExcluded("src/plain", false, { attributes: 0x40 })).toBe(true);
});

test("TREE-13: --delete leaves directories whole that the backup does not have whole", () => {
  const spared = sparedBy(request);
  const isWhole = (path: string, names: string[] = [], isMountPoint = false) =>
    spared?.isWhole(bytes(path), new Set(names), found(), isMountPoint);
  expect(isWhole("src/a")).toBe(false);
  expect(isWhole("src/locked", ["a"])).toBe(true);
  expect(isWhole("src/tagged", ["CACHEDIR.TAG"])).toBe(true);
  expect(isWhole("src/mounted", [], true)).toBe(true);
  expect(isWhole("src", ["a"], true)).toBe(false);
});

test("a backup that does not tell what was left out of it deletes nothing", () => {
  expect(sparedBy({ ...request, selection: undefined })).toBeNull();
  expect(sparedBy({ ...request, selection: { exclude: [] } })).toBeNull();
});
