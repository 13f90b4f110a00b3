import { expect, test } from "bun:test";
import { type Barcode, isMalformed, parseBarcode, parseDriveId, parseSerialNumber } from "../base/brands.ts";
import { exportedTogether, isReserve, shownAs, standInsOf, withStandIn } from "./stand-in.ts";
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

test("RED-08: failed cartridge and replacement come out together, whichever is named; the operator is told which label to move", () => {
  const at = (address: number, barcode: Barcode | null) => ({ address, barcode });
  const drive = {
    id: ok(parseDriveId(1)),
    address: 256,
    serial: ok(parseSerialNumber("D1")),
    isSpare: false,
  };
  const slots = [at(1024, spare), at(1025, ordinary), at(1026, failed), at(1027, second)];
  const inSlots = { ...withStandIn(state, failed, spare, "corrupt", 7), slots };
  for (const named of [failed, spare]) {
    const { outcome, state: after } = exportedTogether(inSlots, named);
    expect(outcome).toMatchObject({ kind: "done", barcode: spare });
    expect(outcome.text).toContain(`move the label ${failed} from the failed cartridge to ${spare}`);
    expect(outcome.text).toContain("from slot 3");
    expect(after?.slots.map(({ barcode }) => barcode)).toEqual([null, ordinary, null, second]);
    expect(standInsOf(after ?? state)).toEqual([]);
  }
  // Stuck in its drive: the other one comes out alone, and it is said.
  const stuck = {
    ...inSlots,
    slots: slots.map((slot) => (slot.barcode === failed ? { ...slot, barcode: null } : slot)),
    drives: [{ ...drive, barcode: failed, failure: { reason: "dead", atMs: 1 } }],
  };
  expect(exportedTogether(stuck, failed).outcome.text).toContain("lies in drive 1");
  // In the server's drive: not now.
  const loaded = { ...stuck, slots: [], drives: [{ ...drive, barcode: spare, failure: null }] };
  expect(exportedTogether(loaded, failed)).toMatchObject({ outcome: { kind: "conflict" }, state: null });
  expect(exportedTogether(inSlots, ordinary).outcome).toMatchObject({ kind: "done", barcode: ordinary });
});
