import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import * as at from "../../../wasm/ring/layout.ts";
import { putLocate10, putRewind, putWrite6, putWriteFilemarks } from "../../scsi/cdb.ts";
import { STATUS_GOOD } from "../../scsi/unit/task.ts";
import { BenchTop } from "./bench-top.fixture.ts";

let top: BenchTop;
beforeEach(() => {
  top = new BenchTop();
});
afterEach(() => top.close());

function write(count: number): void {
  for (let seed = 0; seed < count; seed++) {
    const command = top.command((cdb) => putWrite6(cdb, 4096), 4096);
    top.send(command, 4096, seed);
    expect(command.status).toBe(STATUS_GOOD);
  }
}

function run(put: (cdb: Uint8Array) => unknown): void {
  const command = top.command(put);
  for (let n = 0; n < 3; n++) {
    top.runDrive();
    top.runCache();
  }
  expect(command.status).toBe(STATUS_GOOD);
}

/** The drive's Worker alone: nobody writes a checkpoint. */
function stepsOfDrive(): void {
  for (let n = 0; n < 100 && top.follower.step() === "worked"; n++);
}

const endOfTape = () => top.transport.medium.cartridge?.endOfData.lba;

describe("a tape is cut only where a checkpoint lies", () => {
  for (const [words, move, left] of [
    ["rewind", (cdb: Uint8Array) => putRewind(cdb), 0],
    ["LOCATE to the middle", (cdb: Uint8Array) => putLocate10(cdb, 3), 3],
  ] as const) {
    test(`after ${words} the first write waits for it, those behind it do not`, () => {
      write(6);
      run((cdb) => putWriteFilemarks(cdb, 1));
      expect(endOfTape()).toBe(7);
      run(move);
      const cutJ = top.device.get(at.RECEIVED);
      write(2);
      stepsOfDrive();
      // The old tape is whole; the checkpoint asked for is at the cut, with its own number.
      expect(endOfTape()).toBe(7);
      expect(top.device.get(at.WANT_CHECKPOINT)).toBe(cutJ);
      expect(top.device.get(at.ON_TAPE)).toBe(cutJ);
      expect(top.device.get(at.ON_TAPE_POSITION)).toBe(left);
      expect(top.device.get(at.ON_TAPE_SEQUENCE)).toBe(top.device.get(at.SEQUENCE) - 2);
      expect(top.follower.waitsFor).toBeGreaterThan(top.device.get(at.RECEIVED));

      top.device.set(at.CHECKPOINT, cutJ);
      stepsOfDrive();
      expect(endOfTape()).toBe(left + 2);
      expect(top.device.get(at.WANT_CHECKPOINT)).toBe(cutJ);
    });
  }

  test("ERASE waits for it too", () => {
    write(6);
    run((cdb) => putWriteFilemarks(cdb, 1));
    run((cdb) => putLocate10(cdb, 2));
    const erase = top.command((cdb) => {
      cdb[0] = 0x19;
      cdb[1] = 1;
    });
    stepsOfDrive();
    expect(endOfTape()).toBe(7);
    expect(erase.done).toBe(false);
    top.device.set(at.CHECKPOINT, top.device.get(at.WANT_CHECKPOINT));
    top.runDrive();
    expect(erase.status).toBe(STATUS_GOOD);
    expect(endOfTape()).toBe(2);
  });

  test("without a cache there is nothing to wait for", () => {
    top.device.setWord(at.CACHE_STATE, at.CACHE_NONE);
    write(6);
    run((cdb) => putWriteFilemarks(cdb, 1));
    run((cdb) => putRewind(cdb));
    write(1);
    stepsOfDrive();
    expect(endOfTape()).toBe(1);
  });
});
