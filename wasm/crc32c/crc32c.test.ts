import { dlopen, FFIType, ptr } from "bun:ffi";
import { expect, test } from "bun:test";
import { Crc32c } from "./crc32c.ts";

const { u64_fast } = FFIType;
const { symbols: libc } = dlopen("libc.so.6", {
  memcpy: { args: [u64_fast, u64_fast, u64_fast], returns: FFIType.ptr },
});
const crc = new Crc32c(libc.memcpy, (view) => Number(ptr(view)));
const sumOf = (bytes: Uint8Array) => crc.update(0, Number(ptr(bytes)), bytes.length);

/** Bit by bit, from the definition. */
function plain(bytes: Uint8Array): number {
  let sum = 0xffffffff;
  for (const byte of bytes) {
    sum ^= byte;
    for (let bit = 0; bit < 8; bit++) sum = sum & 1 ? (sum >>> 1) ^ 0x82f63b78 : sum >>> 1;
  }
  return ~sum >>> 0;
}

test("RFC 3720 §B.4: the five examples, as they stand on the wire", () => {
  const command = new Uint8Array(48);
  command.set([0x01, 0xc0], 0);
  command.set([0x14], 16);
  command.set([0x04, 0x00], 22);
  command.set([0x00, 0x14, 0x00, 0x00, 0x00, 0x18, 0x28], 26);
  command.set([0x02], 40);
  const examples = [
    new Uint8Array(32),
    new Uint8Array(32).fill(0xff),
    Uint8Array.from({ length: 32 }, (_, index) => index),
    Uint8Array.from({ length: 32 }, (_, index) => 31 - index),
    command,
  ];
  const onWire = (sum: number) => {
    const word = Buffer.alloc(4);
    word.writeUInt32LE(sum);
    return word.toString("hex");
  };
  expect(examples.map((bytes) => onWire(sumOf(bytes)))).toEqual([
    "aa36918a",
    "43aba862",
    "4e79dd46",
    "5cdb3f11",
    "563a96d9",
  ]);
});

test("any length, cut anywhere, over more than one piece: as bit by bit", () => {
  const bytes = Uint8Array.from({ length: 40_000 }, (_, index) => (index * 131 + (index >>> 7)) & 255);
  for (const length of [0, 1, 3, 15, 16, 17, 31, 33, 16384, 16385, 40_000]) {
    expect(sumOf(bytes.slice(0, length))).toBe(plain(bytes.subarray(0, length)));
  }
  const address = Number(ptr(bytes));
  for (const cut of [1, 5, 16, 1000, 20_001]) {
    const first = crc.update(0, address, cut);
    expect(crc.update(first, address + cut, bytes.length - cut)).toBe(plain(bytes));
  }
  expect(crc.zeros(crc.update(0, address, 5), 3)).toBe(
    plain(Uint8Array.from([...bytes.slice(0, 5), 0, 0, 0])),
  );
});
