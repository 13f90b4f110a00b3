import { expect, test } from "bun:test";
import { type Barcode, isMalformed, parseBarcode, parseSerialNumber } from "../base/brands.ts";
import { isReserve, shownAs, standInsOf, withStandIn } from "./stand-in.ts";
import type { LibraryState } from "./state.ts";

const ok = <T>(value: T): Exclude<T, { kind: "malformed" }> => {
  if (isMalformed(value)) throw new Error(value.expected);
  return value as Exclude<T, { kind: "malformed" }>;
};
const code = (number: number): Barcode => ok(parseBarcode(`UND00${number}L8`));
const [failed, ordinary, spare, second] = [code(1), code(2), code(3), code(4)] as const;

const state: LibraryState = {
  version: 1,
  name: "library",
  drives: [],
  slots: [],
  cartridges: [failed, ordinary, spare, second].map((barcode, index) => ({
    barcode,
    serial: ok(parseSerialNumber(`C00${index + 1}`)),
    capacityBytes: 1e9,
    homeAddress: 1024 + index,
    isSpare: index >= 2,
  })),
  errors: [],
};
const shown = (of: LibraryState) => of.cartridges.map((entry) => shownAs(entry) as string | null);
const reserve = (of: LibraryState) => of.cartridges.filter(isReserve).map(({ barcode }) => barcode);

test("RED-08: spares are not shown; a replacement answers to the barcode it stands in for, and has its slot", () => {
  expect(shown(state)).toEqual([failed, ordinary, null, null]);
  expect(reserve(state)).toEqual([spare, second]);
  const after = withStandIn(state, failed, spare, "corrupt", 7);
  expect(shown(after)).toEqual([null, ordinary, failed, null]);
  expect(after.cartridges.map(({ homeAddress }) => homeAddress)).toEqual([1026, 1025, 1024, 1027]);
  expect(reserve(after)).toEqual([second]);
  expect(standInsOf(after)).toEqual([
    { label: failed, replacement: spare, takenFrom: 1026, reason: "corrupt", atMs: 7 },
  ]);
  expect(withStandIn(after, failed, spare, "again", 8)).toBe(after);
});

test("RED-08: a replacement that fails too is replaced: the barcode stays, the label is on the first", () => {
  const twice = withStandIn(withStandIn(state, failed, spare, "corrupt", 7), spare, second, "snapped", 9);
  expect(shown(twice)).toEqual([null, ordinary, null, failed]);
  expect(twice.cartridges.map(({ homeAddress }) => homeAddress)).toEqual([1026, 1025, 1027, 1024]);
  expect(standInsOf(twice)).toEqual([
    { label: failed, replacement: second, takenFrom: 1027, reason: "corrupt", atMs: 7 },
  ]);
  expect(reserve(twice)).toEqual([]);
});
