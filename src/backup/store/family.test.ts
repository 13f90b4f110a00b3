import { expect, test } from "bun:test";
import { Family, type Link } from "./family.ts";

function link(number: number, parent: number | null, living = true, indexBase = parent): Link {
  return { number, parent, indexBase, living };
}

test("TREE-03: the parent in effect is the nearest ancestor that is still a backup", () => {
  const family = new Family([link(1, null), link(2, 1), link(3, 2), link(4, 3), link(5, 3)]);
  expect(family.parentOf(4)).toBe(3);
  family.pare(3);
  expect(family.parentOf(4)).toBe(2);
  family.pare(2);
  expect([family.parentOf(4), family.parentOf(5)]).toEqual([1, 1]);
  expect(family.packsAbove(4)).toEqual([3, 2]);
  expect(family.heirsOf(2)).toEqual([4, 5]);
  family.pare(1);
  expect(family.parentOf(4)).toBeNull();
  expect(family.heirsOf(1)).toEqual([4, 5]);
  family.pare(4);
  expect(family.heirsOf(1)).toEqual([5]);
  expect(family.heirsOf(4)).toEqual([]);
});

test("TREE-11: the first living descendants stand for all below them", () => {
  const family = new Family([link(1, null, false), link(2, 1), link(3, 2), link(4, 1, false), link(5, 4)]);
  expect(family.heirsOf(1)).toEqual([2, 5]);
});

test("an index's base is looked for in packs too, and kept there while it is needed", () => {
  const family = new Family([link(1, null, false), link(2, 1, false), link(3, 2), link(4, 2, true, null)]);
  expect(family.indexChain(3)).toEqual([1, 2, 3]);
  expect(family.indexChain(4)).toEqual([4]);
  expect(family.packsWithIndex()).toEqual(new Set([1, 2]));
  family.pare(3);
  expect(family.packsWithIndex()).toEqual(new Set());
});

test("a missing archive breaks the chain and is named", () => {
  const family = new Family([link(3, 2), link(4, 3, true, 3)]);
  expect(family.parentOf(3)).toBeNull();
  expect(family.missingAbove(4)).toBe(2);
  expect(family.indexChain(4)).toBe(2);
});
