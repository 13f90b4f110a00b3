import { expect, test } from "bun:test";
import { type ForeignElement, type ForeignWanted, foreignLibrary } from "./foreign.ts";

const element = (
  type: number,
  address: number,
  barcode: string | null = null,
  source: number | null = null,
) => ({ type, address, full: barcode !== null, barcode, source }) satisfies ForeignElement;

const FIRST = [
  element(1, 1),
  element(2, 4096, "AAA001L8"),
  element(2, 4097),
  element(2, 4098, "AAA003L8"),
  element(3, 768),
  element(4, 256, "AAA002L8", 4097),
];
const SECOND = [element(2, 10, "BBB001L8"), element(4, 500)];
const WANTED: ForeignWanted = {
  drives: [
    { changer: 0, element: 256, isSpare: false },
    { changer: 1, element: 500, isSpare: true },
  ],
  spareCartridges: 1,
  capacityBytes: 1e9,
  serialPrefix: "T",
};

test("several changers become one map: addresses of our own, cartridges by barcode, the last ones in reserve", () => {
  const found = foreignLibrary([FIRST, SECOND], WANTED, null);
  if (typeof found === "string") throw new Error(found);
  const { state, places } = found;
  expect(state.slots.map(({ address, barcode }) => [address, barcode as string | null])).toEqual([
    [1024, "AAA001L8"],
    [1025, null],
    [1026, "AAA003L8"],
    [1027, "BBB001L8"],
  ]);
  expect(places.get(1027)).toEqual({ changer: 1, address: 10 });
  expect(places.get(257)).toEqual({ changer: 1, address: 500 });
  expect(places.get(768)).toEqual({ changer: 0, address: 768 });
  expect(state.drives.map(({ barcode, isSpare }) => [barcode as string | null, isSpare])).toEqual([
    ["AAA002L8", false],
    [null, true],
  ]);
  const byName = Object.fromEntries(state.cartridges.map((entry) => [entry.barcode, entry]));
  expect(byName.AAA002L8).toMatchObject({ homeAddress: 1025, isSpare: false });
  expect(byName.BBB001L8).toMatchObject({ homeAddress: 1027, isSpare: true });
});

test("the changers say where cartridges are, our memory what they are and which drives are out", () => {
  const found = foreignLibrary([FIRST, SECOND], WANTED, null);
  if (typeof found === "string") throw new Error(found);
  const failure = { reason: "dead", atMs: 5 };
  const before = {
    ...found.state,
    drives: found.state.drives.map((drive) => (drive.id === 1 ? { ...drive, failure } : drive)),
    cartridges: found.state.cartridges.map((entry) =>
      entry.barcode === "AAA001L8" ? { ...entry, failure } : entry,
    ),
  };
  // Meanwhile somebody moved one cartridge by hand, took one away and put a new one in.
  const now = [element(2, 4096), element(2, 4097, "AAA001L8"), element(2, 4098, "NEW001L8"), element(4, 256)];
  const later = foreignLibrary([now, SECOND], WANTED, before);
  if (typeof later === "string") throw new Error(later);
  expect(later.state.drives[0]).toMatchObject({ barcode: null, failure });
  expect(later.state.cartridges.map(({ barcode }) => barcode as string)).toEqual([
    "AAA001L8",
    "NEW001L8",
    "BBB001L8",
  ]);
  expect(later.state.cartridges[0]).toMatchObject({ failure, homeAddress: 1024 });
  expect(later.state.cartridges[1]).toMatchObject({ isSpare: false });
});

test("a drive that its changer does not have is told by its element", () => {
  const drives = [{ changer: 0, element: 299, isSpare: false }];
  expect(foreignLibrary([FIRST], { ...WANTED, drives }, null)).toBe("changer 1 has no drive at element 299");
});
