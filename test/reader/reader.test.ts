/** @module The independent reader and the program agree on what is on a cartridge. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, openSync, rmSync, statSync, truncateSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CartridgeDamaged, CartridgeReader } from "../../src/cli/demo/cartridge-reader.ts";
import { createCartridge } from "../../src/device/file/cartridge.ts";
import { FileTransport } from "../../src/device/file/file-transport.ts";
import { listCartridge, readTapeFile } from "../../src/device/file/listing.ts";
import { TapeDrive } from "../../src/device/tape-drive.ts";
import { NativeArea } from "../contract/drive-contract.ts";

const area = new NativeArea();
let directory = "";
let path = "";
/** What was written: block sizes, 0 for a filemark. */
const TAPE = [64512, 1, 512, 0, 262144, 513, 0, 0, 4096, 2097152];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "understudy-reader-"));
  path = join(directory, "UND001L8.tape");
  createCartridge(
    path,
    { barcode: "UND001L8", serial: "C1", capacityBytes: 1e9, earlyWarningBytes: 1e6 },
    77,
  );
  const transport = new FileTransport({
    identity: { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: "D001" },
    announcesPowerOn: false,
  });
  transport.insert(path);
  const drive = new TapeDrive(transport);
  drive.testUnitReady();
  for (const [seed, bytes] of TAPE.entries()) {
    const outcome =
      bytes === 0 ? drive.writeFilemarks(1, true) : drive.write(area.address, area.fill(bytes, seed));
    expect(outcome).toBe("good");
  }
  expect(drive.unload()).toBe("good");
  transport.close();
});
afterEach(() => {
  rmSync(directory, { recursive: true });
});

function damage(offset: number): void {
  const fd = openSync(path, "r+");
  writeSync(fd, "x", offset);
  closeSync(fd);
}

describe("RED-04: FORMATS, cartridge file", () => {
  test("header, objects, their numbers and every byte are read back by the second reader", () => {
    const reader = new CartridgeReader(path);
    expect(reader.header).toMatchObject({
      barcode: "UND001L8",
      serial: "C1",
      capacityBytes: 1e9,
      earlyWarningBytes: 1e6,
      writeProtected: false,
      createdMs: 77,
    });
    const objects = [...reader.objects(true)];
    expect(objects.map((object) => (object.kind === "filemark" ? 0 : object.bytes))).toEqual(TAPE);
    expect(objects.map((object) => object.fileNumber)).toEqual([0, 0, 0, 0, 1, 1, 1, 2, 3, 3]);
    for (const [seed, object] of objects.entries()) {
      if (object.kind === "filemark") continue;
      const expected = new NativeArea();
      expected.fill(object.bytes, seed);
      expect(Buffer.compare(reader.data(object), expected.bytes.subarray(0, object.bytes))).toBe(0);
    }
    expect(reader.tornBytes).toBe(0);
    expect(reader.summarize()).toMatchObject({ blocks: 7, filemarks: 3, tornBytes: 0 });
    expect(reader.listing().split("\n").slice(1)).toEqual([
      "file 0  object 0  3 blocks of 1 to 64512  65025 bytes  filemark",
      "file 1  object 4  2 blocks of 513 to 262144  262657 bytes  filemark",
      "file 2  object 7  0 blocks  0 bytes  filemark",
      "file 3  object 8  2 blocks of 4096 to 2097152  2101248 bytes  end of data",
    ]);
    reader.close();
  });

  test("the program's own listing says the same, and both read the same file", () => {
    const listing = listCartridge(path);
    if (listing.kind === "problem") throw new Error(listing.why);
    expect(
      listing.files.map((file) => [file.firstLba, file.blocks, file.bytes, file.endsWithFilemark]),
    ).toEqual([
      [0, 3, 65025, true],
      [4, 2, 262657, true],
      [7, 0, 0, true],
      [8, 2, 2101248, false],
    ]);
    expect([listing.objects, listing.damagedAtLba]).toEqual([TAPE.length, null]);
    const reader = new CartridgeReader(path);
    for (const fileNumber of [0, 1, 2, 3]) {
      const ours: Uint8Array[] = [];
      const end = readTapeFile(path, fileNumber, (block) => ours.push(block.slice()));
      expect(end.kind).toBe(fileNumber === 3 ? "endOfData" : "filemark");
      const theirs = [...reader.file(fileNumber)];
      expect(ours.map((block) => Bun.hash.xxHash3(block))).toEqual(
        theirs.map((block) => Bun.hash.xxHash3(block)),
      );
    }
    expect(readTapeFile(path, 4, () => undefined)).toEqual({ kind: "noSuchFile", files: 4 });
    reader.close();
  });

  test("a write that broke off is no part of the tape for either", () => {
    truncateSync(path, statSync(path).size - 1000);
    const reader = new CartridgeReader(path);
    expect([...reader.objects(true)].length).toBe(TAPE.length - 1);
    expect(reader.tornBytes).toBe(512 + 2097152 - 1000);
    reader.close();
    expect(listCartridge(path)).toMatchObject({ objects: TAPE.length - 1 });
  });

  test("a damaged block in mid-tape is damage for either", () => {
    damage(4096 + 512 + 100);
    const reader = new CartridgeReader(path);
    expect(() => [...reader.objects(true)]).toThrow(CartridgeDamaged);
    reader.close();
    expect(readTapeFile(path, 0, () => undefined)).toEqual({ kind: "damaged", lba: 0 });
  });

  test("a damaged label is refused by either", () => {
    damage(70);
    expect(() => new CartridgeReader(path)).toThrow("hash");
    expect(listCartridge(path)).toMatchObject({ kind: "problem" });
  });
});
