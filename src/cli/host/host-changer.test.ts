import { expect, test } from "bun:test";
import { changerElements } from "./host-changer.ts";

/** READ ELEMENT STATUS of one storage element and one drive, with volume tags. */
function status(): Uint8Array {
  const data = new Uint8Array(8 + 2 * (8 + 52));
  const view = new DataView(data.buffer);
  view.setUint16(2, 2);
  for (const [page, type, address, full] of [
    [8, 2, 4096, 1],
    [68, 4, 256, 0],
  ] as const) {
    view.setUint8(page, type);
    view.setUint8(page + 1, 0x80);
    view.setUint16(page + 2, 52);
    view.setUint32(page + 4, 52);
    view.setUint16(page + 8, address);
    view.setUint8(page + 10, full);
    if (full === 1) data.set(Buffer.from("VT0001L8                        "), page + 20);
  }
  view.setUint8(68 + 8 + 9, 0x80);
  view.setUint16(68 + 8 + 10, 4097);
  return data;
}

test("SMC-3 READ ELEMENT STATUS: addresses, volume tags, sources", () => {
  expect(changerElements(status())).toEqual([
    { type: "storage", address: 4096, full: true, barcode: "VT0001L8", source: undefined },
    { type: "drive", address: 256, full: false, barcode: "", source: 4097 },
  ]);
});

test("a report cut off, or of nonsense, gives what is whole", () => {
  const whole = status();
  for (let bytes = 0; bytes <= whole.length; bytes++) {
    expect(changerElements(whole.subarray(0, bytes)).length).toBeLessThanOrEqual(2);
  }
  expect(changerElements(whole.subarray(0, whole.length - 8))).toHaveLength(2);
  expect(changerElements(new Uint8Array(100).fill(0xff))).toEqual([]);
  expect(changerElements(new Uint8Array(100))).toEqual([]);
});
