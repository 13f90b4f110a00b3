import { expect, test } from "bun:test";
import { Exclusions, parsePatterns } from "./patterns.ts";

/** What of "name" or "name/" (a directory) is left out below the source /src. */
function left(patterns: string[], path: string | Uint8Array, root = "src"): boolean {
  const given = Buffer.from(path as string);
  const isDirectory = given.at(-1) === 0x2f;
  const below = isDirectory ? given.subarray(0, -1) : given;
  const bytes = Buffer.concat([Buffer.from(root === "" ? "" : `${root}/`), below]);
  const from = bytes.length - below.length;
  const nameAt = Math.max(from, bytes.lastIndexOf("/") + 1);
  return new Exclusions(patterns, Buffer.from(root)).has(bytes, from, nameAt, bytes.length, isDirectory);
}

test("TREE-01: a pattern without a slash is a name, wherever it is", () => {
  expect(left(["*.o"], "a.o")).toBe(true);
  expect(left(["*.o"], "deep/er/a.o")).toBe(true);
  expect(left(["*.o"], "a.oo")).toBe(false);
  expect(left(["*.o"], ".o")).toBe(true);
  expect(left(["a*b*c"], "aXbXbXc")).toBe(true);
  expect(left(["a*b*c"], "aXbXcX")).toBe(false);
  expect(left(["f?o"], "foo")).toBe(true);
  expect(left(["f?o"], "fo")).toBe(false);
  expect(left(["*"], "anything")).toBe(true);
});

test("TREE-01: a slash at the end means directories only", () => {
  expect(left(["build/"], "x/build/")).toBe(true);
  expect(left(["build/"], "x/build")).toBe(false);
  expect(left(["x/build/"], "x/build/")).toBe(true);
  expect(left(["x/build/"], "y/x/build/")).toBe(false);
});

test("TREE-01: any other slash ties a pattern to the top of the source", () => {
  expect(left(["/build"], "build")).toBe(true);
  expect(left(["/build"], "x/build")).toBe(false);
  expect(left(["doc/*.txt"], "doc/a.txt")).toBe(true);
  expect(left(["doc/*.txt"], "doc/x/a.txt")).toBe(false);
  expect(left(["doc/*.txt"], "x/doc/a.txt")).toBe(false);
});

test("TREE-01: two stars stand for directories", () => {
  expect(left(["**/foo"], "foo")).toBe(true);
  expect(left(["**/foo"], "a/b/foo")).toBe(true);
  expect(left(["**/foo/bar"], "a/foo/x/foo/bar")).toBe(true);
  expect(left(["a/**"], "a/")).toBe(false);
  expect(left(["a/**"], "a/b")).toBe(true);
  expect(left(["a/**"], "a/b/c/d")).toBe(true);
  expect(left(["a/**"], "b/a/c")).toBe(false);
  expect(left(["a/**/b"], "a/b")).toBe(true);
  expect(left(["a/**/b"], "a/x/y/b")).toBe(true);
  expect(left(["a/**/b"], "a/x/y/c")).toBe(false);
  expect(left(["a/**/x/**/b"], "a/1/x/2/x/3/b")).toBe(true);
  expect(left(["a**b"], "axxb")).toBe(true);
  expect(left(["**"], "x")).toBe(true);
});

test("TREE-01: the last pattern that fits decides, ! brings back", () => {
  expect(left(["*.log", "!keep.log"], "keep.log")).toBe(false);
  expect(left(["!keep.log", "*.log"], "keep.log")).toBe(true);
  expect(left(["*.log", "!keep.log", "/keep.log"], "keep.log")).toBe(true);
  expect(left(["\\!odd"], "!odd")).toBe(true);
  expect(left(["/*", "!/kept"], "kept")).toBe(false);
  expect(left(["/*", "!/kept"], "other")).toBe(true);
});

test("classes, escapes, and characters beyond ASCII", () => {
  expect(left(["[a-c]x"], "bx")).toBe(true);
  expect(left(["[!a-c]x"], "bx")).toBe(false);
  expect(left(["[^a-c]x"], "dx")).toBe(true);
  expect(left(["[]]x"], "]x")).toBe(true);
  expect(left(["[a"], "[a")).toBe(true);
  expect(left(["x[[:digit:]_-]"], "x7")).toBe(true);
  expect(left(["x[[:digit:]_-]"], "x-")).toBe(true);
  expect(left(["x[[:digit:]]"], "xa")).toBe(false);
  expect(left(["\\*"], "*")).toBe(true);
  expect(left(["\\*"], "a")).toBe(false);
  expect(left(["?.txt"], "é.txt")).toBe(true);
  expect(left(["[à-ü].txt"], "é.txt")).toBe(true);
  expect(left(["a?b"], Uint8Array.of(0x61, 0xff, 0x62))).toBe(true);
  expect(left(["a*b"], Uint8Array.of(0x61, 0xff, 0x0a, 0xc3, 0x62))).toBe(true);
});

test("a pattern may give the absolute path of what lies in a source", () => {
  expect(left(["/home/u/.cache"], ".cache/", "home/u")).toBe(true);
  expect(left(["/home/*/.cache/"], ".cache/", "home/u")).toBe(true);
  expect(left(["/var/cache/"], "cache/", "var")).toBe(true);
  expect(left(["/var/cache/"], "lib/cache/", "var")).toBe(false);
  expect(left(["/tmp"], "tmp/", "home/u")).toBe(true);
  expect(left(["/var/tmp"], "var/tmp/", "")).toBe(true);
});

test("a file of patterns has comments, empty lines and spaces that do not count", () => {
  expect(parsePatterns("# no\n\n*.o  \r\n!a\nb\\ \n\\#c\n")).toEqual(["*.o", "!a", "b\\ ", "\\#c"]);
  expect(left(["b\\ "], "b ")).toBe(true);
});

test("many stars cost no more than the name is long", () => {
  const name = "a".repeat(250);
  const at = performance.now();
  expect(left([`${"a*".repeat(60)}b`], name)).toBe(false);
  expect(left([`${"**/a/".repeat(30)}b`], "a/".repeat(120) + name)).toBe(false);
  expect(performance.now() - at).toBeLessThan(200);
});
