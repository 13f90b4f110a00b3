import { ptr } from "bun:ffi";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  appendFileSync,
  closeSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  truncateSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Cartridge, createCartridge } from "./cartridge.ts";
import { INDEX_STEP } from "./index-sparse.ts";

const SPEC = { barcode: "UND001L8", serial: "C001", capacityBytes: 1e9, earlyWarningBytes: 1e6 };
const bytes = new Uint8Array(new ArrayBuffer(1 << 20));
const address = Number(ptr(bytes));
let directory = "";
let path = "";

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "understudy-cartridge-"));
  path = join(directory, "UND001L8.tape");
  createCartridge(path, SPEC, 1234);
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function open(readOnly = false): Cartridge {
  const opened = Cartridge.open(path, { readOnly });
  if ("kind" in opened) throw new Error(opened.why);
  return opened;
}

function why(): string {
  const opened = Cartridge.open(path);
  if (!("kind" in opened)) throw new Error("it opened");
  return opened.why;
}

function writeBlocks(cartridge: Cartridge, count: number, size: number): void {
  for (let index = 0; index < count; index++) {
    bytes.fill(cartridge.place.lba & 255, 0, size);
    expect(cartridge.writeBlock(address, size)).toBe(0);
  }
}

describe("label", () => {
  test("what was asked for is what the cartridge says", () => {
    const cartridge = open();
    expect(cartridge.label).toMatchObject({
      ...SPEC,
      createdMs: 1234,
      writeProtected: false,
      densityCode: 0x5e,
    });
    cartridge.close();
  });

  test("a cartridge is never made over a file that is there", () => {
    expect(createCartridge(path, SPEC, 0)).toMatchObject({ kind: "problem" });
  });

  test("a foreign, short, damaged or missing file is refused with words", () => {
    const whole = readFileSync(path);
    writeFileSync(path, whole.subarray(0, 100));
    expect(why()).toContain("shorter");
    writeFileSync(path, new Uint8Array(4096));
    expect(why()).toContain("USTAPE01");
    whole[70] = 0x41;
    writeFileSync(path, whole);
    expect(why()).toContain("damaged");
    rmSync(path);
    expect(why()).toContain("ENOENT");
    writeFileSync(path, "");
  });
});

describe("end of data", () => {
  test("RED-04: after opening again everything is where it was", () => {
    const cartridge = open();
    writeBlocks(cartridge, 3, 700);
    cartridge.writeFilemark();
    writeBlocks(cartridge, 2, 9);
    const { endOfData } = cartridge;
    cartridge.close();
    const again = open();
    expect(again.endOfData).toEqual(endOfData);
    expect(again.endOfData).toMatchObject({ lba: 6, fileNumber: 1, usedBytes: 2118 });
    again.close();
  });

  test("a record that broke off is no part of the tape, and is cut off", () => {
    for (const cut of [1, 511, 512, 700, 1000]) {
      const cartridge = open();
      cartridge.rewind();
      cartridge.cutHere();
      writeBlocks(cartridge, 3, 700);
      cartridge.close();
      truncateSync(path, statSync(path).size - cut);
      const again = open();
      expect(again.endOfData.lba).toBe(2);
      again.close();
      expect(statSync(path).size).toBe(4096 + 2 * (512 + 1024));
    }
  });

  test("garbage behind the last record is cut off; read only, it is left alone", () => {
    const cartridge = open();
    writeBlocks(cartridge, 2, 100);
    cartridge.close();
    appendFileSync(path, new Uint8Array(5000).fill(7));
    const size = statSync(path).size;
    const reader = open(true);
    expect(reader.endOfData.lba).toBe(2);
    reader.close();
    expect(statSync(path).size).toBe(size);
    const again = open();
    expect(again.endOfData.lba).toBe(2);
    again.toEndOfData();
    writeBlocks(again, 1, 100);
    again.close();
    const third = open();
    expect(third.endOfData.lba).toBe(3);
    third.close();
  });

  test("records at the end whose data does not fit their hash are dropped, unless they were durable", () => {
    const cartridge = open();
    writeBlocks(cartridge, 1, 100);
    cartridge.sync();
    writeBlocks(cartridge, 2, 100);
    cartridge.close();
    const fd = openSync(path, "r+");
    for (const record of [1, 2]) writeSync(fd, "x", 4096 + record * 1024 + 512);
    closeSync(fd);
    const again = open();
    expect(again.endOfData.lba).toBe(1);
    again.close();
  });

  test("a cut in mid-tape below the last durable record is found again", () => {
    const cartridge = open();
    writeBlocks(cartridge, 10, 512);
    cartridge.sync();
    cartridge.seek(4);
    writeBlocks(cartridge, 1, 512);
    cartridge.close();
    const again = open();
    expect(again.endOfData.lba).toBe(5);
    again.seek(0);
    for (let index = 0; index < 5; index++) expect(again.readBlock(address, 512)).toBe("block");
    expect(again.readBlock(address, 512)).toBe("endOfData");
    again.close();
  });

  test("another cartridge's file inside blocks is never taken for records", () => {
    const cartridge = open();
    writeBlocks(cartridge, 3, 600);
    cartridge.close();
    const image = readFileSync(path);
    rmSync(path);
    createCartridge(path, SPEC, 1);
    const outer = open();
    bytes.set(image.subarray(4096));
    expect(outer.writeBlock(address, image.length - 4096)).toBe(0);
    outer.close();
    truncateSync(path, statSync(path).size - 512);
    const again = open();
    expect(again.endOfData.lba).toBe(0);
    again.close();
  });
});

describe("moving", () => {
  test("seek finds every object with a cold index, from both ends", () => {
    const count = INDEX_STEP * 3 + 100;
    const cartridge = open();
    writeBlocks(cartridge, count, 4);
    cartridge.sync();
    cartridge.close();
    const again = open();
    for (const lba of [INDEX_STEP * 2 + 1, 0, count - 1, INDEX_STEP, 5, INDEX_STEP * 3]) {
      expect(again.seek(lba)).toBe("block");
      expect(again.place.lba).toBe(lba);
      expect(again.readBlock(address, 4)).toBe("block");
      expect(bytes[0]).toBe(lba & 255);
    }
    again.close();
  });

  test("the index forgets what a cut took away", () => {
    const cartridge = open();
    writeBlocks(cartridge, INDEX_STEP * 2, 4);
    cartridge.seek(INDEX_STEP - 3);
    cartridge.cutHere();
    writeBlocks(cartridge, INDEX_STEP, 8);
    expect(cartridge.seek(INDEX_STEP)).toBe("block");
    expect(cartridge.readBlock(address, 8)).toBe("block");
    expect(cartridge.metBytes).toBe(8);
    cartridge.close();
  });

  test("a block damaged in mid-tape is told, and the tape goes on behind it", () => {
    const cartridge = open();
    writeBlocks(cartridge, 3, 512);
    cartridge.sync();
    const fd = openSync(path, "r+");
    writeSync(fd, "x", 4096 + 1024 + 512);
    closeSync(fd);
    cartridge.rewind();
    expect(cartridge.readBlock(address, 512)).toBe("block");
    expect(cartridge.readBlock(address, 512)).toBe("damaged");
    expect(cartridge.readBlock(address, 512)).toBe("block");
    cartridge.close();
  });
});

test("a drive whose cartridge was mounted elsewhere knows that it is not its own", () => {
  const first = open();
  writeBlocks(first, 1, 10);
  const second = open();
  expect(first.isOurs).toBe(false);
  expect(second.isOurs).toBe(true);
  expect(second.mounts).toBe(2);
  first.close();
  second.close();
});
