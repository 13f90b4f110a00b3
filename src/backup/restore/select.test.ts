import { expect, test } from "bun:test";
import { isMalformed } from "../../base/brands.ts";
import { Entry, type EntrySource, isWithin, KIND } from "../entry.ts";
import { type EntryIndex, SelectedEntries, selectPaths, tidyPath } from "./select.ts";

const bytes = (text: string) => new Uint8Array(Buffer.from(text));

/** An index of these paths; those that others lie below are directories. */
function indexOf(...paths: string[]): EntryIndex {
  const fill = (entry: Entry, path: string) => {
    entry.setPath(bytes(path));
    entry.kind = paths.some((other) => other.startsWith(`${path}/`)) ? KIND.directory : KIND.file;
    return entry;
  };
  const list = (wanted: readonly string[]): EntrySource => {
    let next = 0;
    return {
      next(entry) {
        const path = wanted[next++];
        if (path !== undefined) fill(entry, path);
        return path !== undefined;
      },
    };
  };
  return {
    count: paths.length,
    cursor: () => list(paths),
    find: (path) => {
      const found = paths.find((each) => each === Buffer.from(path).toString());
      return found === undefined ? null : fill(new Entry(), found);
    },
    under: (path) => list(paths.filter((each) => isWithin(bytes(each), bytes(each).length, path))),
  };
}

const index = indexOf(
  "srv",
  "srv/www",
  "srv/www/a",
  "srv/www/a/x",
  "srv/www/a/y",
  "srv/www/a b",
  "srv/www/srv",
);
const roots = [bytes("srv/www")];

function select(...given: string[]) {
  const found = selectPaths(given.map(bytes), roots, index);
  if (isMalformed(found)) return found.expected;
  const texts = (paths: readonly Uint8Array[]) => paths.map((path) => Buffer.from(path).toString());
  return [texts(found.paths), texts(found.missing)];
}

test("paths are tidied, and what leads upwards is refused", () => {
  const tidy = (path: string) => {
    const found = tidyPath(bytes(path));
    return isMalformed(found) ? null : Buffer.from(found).toString();
  };
  expect([tidy("/"), tidy("./a//b/./c/"), tidy(""), tidy("..a/b..")]).toEqual(["", "a/b/c", "", "..a/b.."]);
  expect([tidy(".."), tidy("a/../b"), tidy("a/..")]).toEqual([null, null, null]);
});

test("TREE-13: a path is meant below the only root, or as it stood on the source; what lies within another goes with it", () => {
  expect(select("a/x", "/srv/www/a b")).toEqual([["srv/www/a/x", "srv/www/a b"], []]);
  expect(select("a/x", "a", "srv/www/a/y")).toEqual([["srv/www/a"], []]);
  // There is one below the root, and one above it.
  expect(select("srv")).toEqual([["srv/www/srv"], []]);
  expect(select("/srv")).toEqual([["srv"], []]);
  expect(select("z", "a")).toEqual([["srv/www/a"], ["z"]]);
  expect(select("../a")).toBe("a path without '..'");
});

test("the directories above what is selected come first, each once", () => {
  const entries = new SelectedEntries(index, [bytes("srv/www/a/x"), bytes("srv/www/a b")]);
  const entry = new Entry();
  const seen: string[] = [];
  while (entries.next(entry)) {
    seen.push(`${entries.isParent ? "(" : ""}${Buffer.from(entry.path.subarray(0, entry.pathBytes))}`);
  }
  expect(seen).toEqual(["(srv", "(srv/www", "(srv/www/a", "srv/www/a/x", "srv/www/a b"]);
});
