/** @module What every drive must do, whatever it is reached through: one suite, run for each transport.
 *  SSC-5 clauses stand in the names. `open` gives a drive with an empty cartridge of at least 48 MiB loaded. */

import { ptr } from "bun:ffi";
import { afterEach, beforeEach, test as bunTest, describe, expect } from "bun:test";
import { TapeDrive } from "../../src/device/tape-drive.ts";
import type { Transport } from "../../src/device/transport.ts";

export interface OpenedDrive {
  readonly transport: Transport;
  /** Native capacity of the cartridge and length of its early-warning zone (bytes); null: not known, not tested. */
  readonly capacityBytes: number | null;
  readonly earlyWarningBytes: number | null;
  close(): void;
}

const AREA_BYTES = 8 * 1024 * 1024;

export class NativeArea {
  readonly bytes = new Uint8Array(new ArrayBuffer(AREA_BYTES));
  readonly address = Number(ptr(this.bytes));

  /** Fills the first `length` bytes with a pattern that only this seed has. */
  fill(length: number, seed: number): number {
    const words = new Uint32Array(this.bytes.buffer, 0, Math.ceil(length / 4));
    let value = (seed * 2654435761 + 1) >>> 0;
    for (let index = 0; index < words.length; index++) {
      value = (value ^ (value << 13)) >>> 0;
      value = (value ^ (value >>> 17)) >>> 0;
      value = (value ^ (value << 5)) >>> 0;
      words[index] = value;
    }
    return length;
  }

  holds(length: number, seed: number): boolean {
    const got = Bun.hash.xxHash3(this.bytes.subarray(0, length));
    const other = new NativeArea();
    other.fill(length, seed);
    return got === Bun.hash.xxHash3(other.bytes.subarray(0, length));
  }
}

/** `lacks`: words in the names of the tests that a drive of others is known to fail. */
export function driveContract(name: string, open: () => OpenedDrive, lacks: readonly string[] = []): void {
  const test = (title: string, run: () => void) => {
    if (!lacks.some((word) => title.includes(word))) bunTest(title, run);
  };
  describe(`drive contract: ${name}`, () => {
    let opened: OpenedDrive;
    let drive: TapeDrive;
    const area = new NativeArea();

    beforeEach(() => {
      opened = open();
      drive = new TapeDrive(opened.transport);
      expect(drive.testUnitReady()).toBe("good");
      expect(drive.rewind()).toBe("good");
    });
    afterEach(() => {
      opened.close();
    });

    const write = (bytes: number, seed: number) => drive.write(area.address, area.fill(bytes, seed));
    const read = (capacityBytes = AREA_BYTES) => {
      area.bytes.fill(0, 0, 64);
      return drive.read(area.address, capacityBytes);
    };
    const expectBlock = (bytes: number, seed: number) => {
      expect(read(Math.max(bytes, 64))).toBe("good");
      expect(drive.transferredBytes).toBe(bytes);
      expect(area.holds(bytes, seed)).toBe(true);
    };
    const lba = () => {
      expect(drive.readPosition()).toBe("good");
      return drive.position.position;
    };
    /** seeds 1..5 = blocks, laid out:  1 2 FM 3 FM FM 4 5   (object numbers 0 1 2 3 4 5 6 7, end of data 8) */
    const lay = () => {
      for (const seed of [1, 2]) expect(write(1000, seed)).toBe("good");
      expect(drive.writeFilemarks(1, true)).toBe("good");
      expect(write(1000, 3)).toBe("good");
      expect(drive.writeFilemarks(2, true)).toBe("good");
      for (const seed of [4, 5]) expect(write(1000, seed)).toBe("good");
      expect(drive.writeFilemarks(0, false)).toBe("good");
    };

    test("SSC-5 §6.6, §5.8: a variable block comes back with its own length, from 1 B to 8 MiB", () => {
      const sizes = [1, 2, 511, 512, 513, 4096, 64512, 65536, 262144, 1048576, 2097153, AREA_BYTES];
      for (const [index, bytes] of sizes.entries()) expect(write(bytes, index)).toBe("good");
      expect(drive.rewind()).toBe("good");
      for (const [index, bytes] of sizes.entries()) expectBlock(bytes, index);
      expect(read()).toBe("endOfData");
    });

    test("SSC-5 §5.8: fixed blocks are read one by one or many at once, residuals count blocks", () => {
      expect(drive.setBlockLength(512)).toBe("good");
      expect(drive.write(area.address, area.fill(512 * 10, 7))).toBe("good");
      expect(lba()).toBe(10);
      expect(drive.writeFilemarks(1, true)).toBe("good");
      expect(drive.rewind()).toBe("good");
      expect(read(512 * 4)).toBe("good");
      expect(drive.transferredBytes).toBe(2048);
      expect(lba()).toBe(4);
      expect(read(512 * 10)).toBe("filemark");
      expect(drive.information).toBe(4);
      expect(drive.transferredBytes).toBe(512 * 6);
      expect(lba()).toBe(11);
    });

    test("SSC-5 §5.8: a fixed read of a block of another length is ILI, the medium stands behind it", () => {
      expect(write(1000, 1)).toBe("good");
      expect(write(512, 2)).toBe("good");
      expect(drive.rewind()).toBe("good");
      expect(drive.setBlockLength(512)).toBe("good");
      expect(read(1024)).toBe("incorrectLength");
      expect(drive.information).toBe(2);
      expect(lba()).toBe(1);
      expect(read(512)).toBe("good");
    });

    test("SSC-5 §5.8: a variable read of a longer block is ILI with a negative residual and the block's first part", () => {
      expect(write(1000, 1)).toBe("good");
      expect(drive.rewind()).toBe("good");
      expect(read(100)).toBe("incorrectLength");
      expect(drive.information).toBe(-900);
      expect(drive.transferredBytes).toBe(100);
      expect(lba()).toBe(1);
    });

    test("SSC-5 §5.8: reading meets filemarks, then the end of data, again and again", () => {
      lay();
      expect(drive.rewind()).toBe("good");
      expectBlock(1000, 1);
      expectBlock(1000, 2);
      expect(read()).toBe("filemark");
      expect(lba()).toBe(3);
      expectBlock(1000, 3);
      expect(read()).toBe("filemark");
      expect(read()).toBe("filemark");
      expectBlock(1000, 4);
      expectBlock(1000, 5);
      expect(read()).toBe("endOfData");
      expect(read()).toBe("endOfData");
      expect(lba()).toBe(8);
    });

    test("SSC-5 §6.11: SPACE over blocks stops at filemarks and both ends, either way", () => {
      lay();
      expect(drive.rewind()).toBe("good");
      expect(drive.space(0, 2)).toBe("good");
      expect(drive.space(0, 3)).toBe("filemark");
      expect(drive.information).toBe(3);
      expect(lba()).toBe(3);
      expect(drive.space(0, -3)).toBe("filemark");
      expect(drive.information).toBe(3);
      expect(lba()).toBe(2);
      expect(drive.space(0, -5)).toBe("beginningOfMedium");
      expect(drive.information).toBe(3);
      expect(lba()).toBe(0);
      expect(drive.spaceToEndOfData()).toBe("good");
      expect(lba()).toBe(8);
      expect(drive.space(0, -1)).toBe("good");
      expectBlock(1000, 5);
      expect(drive.space(0, 1)).toBe("endOfData");
      expect(drive.information).toBe(1);
    });

    test("SSC-5 §6.11: SPACE over filemarks stops behind them forwards, before them backwards", () => {
      lay();
      expect(drive.rewind()).toBe("good");
      expect(drive.space(1, 1)).toBe("good");
      expect(lba()).toBe(3);
      expect(drive.space(1, 2)).toBe("good");
      expect(lba()).toBe(6);
      expect(drive.space(1, 2)).toBe("endOfData");
      expect(drive.information).toBe(2);
      expect(lba()).toBe(8);
      expect(drive.space(1, -1)).toBe("good");
      expect(lba()).toBe(5);
      expect(drive.space(1, -2)).toBe("good");
      expect(lba()).toBe(2);
      expect(drive.space(1, -1)).toBe("beginningOfMedium");
      expect(drive.information).toBe(1);
      expect(lba()).toBe(0);
    });

    test("SSC-5 §7.3, §7.7: LOCATE reaches every object; behind the end of data is BLANK CHECK at its place", () => {
      lay();
      for (const target of [7, 0, 4, 3, 6, 1, 8]) {
        expect(drive.locate(target)).toBe("good");
        expect(lba()).toBe(target);
      }
      expect(drive.locate(3)).toBe("good");
      expectBlock(1000, 3);
      expect(drive.locate(9)).toBe("endOfData");
      expect(lba()).toBe(8);
      expect(drive.readPositionLong()).toBe("good");
      expect(drive.position.position).toBe(8);
      expect(drive.position.fileNumber).toBe(3);
    });

    test("SSC-5 §4.2.9: writing in mid-tape ends the tape there", () => {
      lay();
      expect(drive.locate(1)).toBe("good");
      expect(write(2000, 9)).toBe("good");
      expect(lba()).toBe(2);
      expect(drive.spaceToEndOfData()).toBe("good");
      expect(lba()).toBe(2);
      expect(drive.rewind()).toBe("good");
      expectBlock(1000, 1);
      expectBlock(2000, 9);
      expect(read()).toBe("endOfData");
      expect(drive.rewind()).toBe("good");
      expect(drive.writeFilemarks(1, false)).toBe("good");
      expect(drive.space(0, 1)).toBe("endOfData");
    });

    test("RED-04: many small blocks and filemarks are found again from anywhere", () => {
      const count = 2000;
      for (let index = 0; index < count; index++) {
        expect(index % 100 === 99 ? drive.writeFilemarks(1, true) : write(64, index)).toBe("good");
      }
      let target = 1;
      for (let step = 0; step < 60; step++) {
        target = (target * 7919 + 13) % count;
        expect(drive.locate(target)).toBe("good");
        if (target % 100 === 99) expect(read(64)).toBe("filemark");
        else expectBlock(64, target);
      }
      expect(drive.rewind()).toBe("good");
      expect(drive.space(1, 17)).toBe("good");
      expect(lba()).toBe(1700);
      expect(drive.space(1, -17)).toBe("good");
      expect(lba()).toBe(99);
    });

    test("SSC-5 §4.2.4, §6.6: early warning writes on, the physical end is VOLUME OVERFLOW with the rest", () => {
      const { capacityBytes, earlyWarningBytes } = opened;
      if (capacityBytes === null || earlyWarningBytes === null) return;
      const block = 1024 * 1024;
      let used = 0;
      while (used + block <= capacityBytes - earlyWarningBytes) {
        expect(write(block, used)).toBe("good");
        used += block;
      }
      expect(write(block, used)).toBe("earlyWarning");
      used += block;
      expect(drive.writeFilemarks(1, false)).toBe("earlyWarning");
      while (used + block <= capacityBytes) {
        expect(write(block, used)).toBe("earlyWarning");
        used += block;
      }
      const before = lba();
      expect(write(block, 1)).toBe("endOfMedium");
      expect(drive.senseKey).toBe(0xd);
      expect(drive.information).toBe(block);
      expect(lba()).toBe(before);
      // Filemarks cost nothing: a host can always close its file.
      expect(drive.writeFilemarks(2, false)).toBe("earlyWarning");
      expect(drive.capacity()?.remainingBytes).toBe(capacityBytes - used);
    });

    test("SPC-5 §6.7: identity and serial are told", () => {
      const identity = drive.inquiry();
      expect(identity?.vendor.length).toBeGreaterThan(0);
      expect(identity?.product.length).toBeGreaterThan(0);
      expect(identity?.serial.length).toBeGreaterThan(0);
    });

    test("SSC-5 §7.2: after UNLOAD the drive is not ready, after LOAD it stands at the beginning", () => {
      lay();
      expect(drive.unload()).toBe("good");
      expect(drive.testUnitReady()).toBe("notReady");
      expect(write(10, 1)).not.toBe("good");
      expect(drive.load()).toBe("good");
      expect(drive.testUnitReady()).toBe("good");
      expect(lba()).toBe(0);
      expectBlock(1000, 1);
    });

    test("SPC-5 §6.4: a command that is none is ILLEGAL REQUEST with its field, and nothing moves", () => {
      lay();
      const cdb = new Uint8Array(6);
      cdb[0] = 0xc7;
      expect(drive.executeRaw(cdb, "none", 0, 0)).toBe("error");
      expect(drive.senseKey).toBe(5);
      expect(drive.asc).toBe(0x20);
      expect(lba()).toBe(8);
    });
  });
}
