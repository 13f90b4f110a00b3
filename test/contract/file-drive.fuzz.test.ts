/** @module Random commands against a file drive and against a tape that is a JavaScript array: every outcome, position and
 *  byte must agree, through restarts, broken-off writes and changes of drive. UNDERSTUDY_SEED=n repeats a run. */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync, statSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CartridgeReader } from "../../src/cli/demo/cartridge-reader.ts";
import { createCartridge } from "../../src/device/file/cartridge.ts";
import { ManualDriveClock } from "../../src/device/file/clock.ts";
import { FileTransport } from "../../src/device/file/file-transport.ts";
import { type DriveOutcome, TapeDrive } from "../../src/device/tape-drive.ts";
import { NativeArea } from "./drive-contract.ts";

const RUNS = 40;
const STEPS = 150;

/** Small, quick and repeatable (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let value = Math.imul(state ^ (state >>> 15), 1 | state);
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value;
    return Math.floor((((value ^ (value >>> 14)) >>> 0) / 4294967296) * below);
  };
}

/** A block (its length and pattern), or a filemark. */
type TapeObject = { readonly bytes: number; readonly seed: number } | "filemark";

/** A tape as SSC-5 describes it, in the fewest words. */
class ModelTape {
  objects: TapeObject[] = [];
  at = 0;

  write(object: TapeObject): void {
    this.objects.length = this.at;
    this.objects.push(object);
    this.at++;
  }

  get fileNumber(): number {
    return this.objects.slice(0, this.at).filter((object) => object === "filemark").length;
  }

  read(): TapeObject | "endOfData" {
    return this.objects[this.at] === undefined ? "endOfData" : this.objects[this.at++]!;
  }

  /** Outcome and residual. */
  space(code: 0 | 1, count: number): [DriveOutcome, number] {
    const step = Math.sign(count);
    for (let left = Math.abs(count); left > 0; ) {
      const object = this.objects[step > 0 ? this.at : this.at - 1];
      if (object === undefined) return [step > 0 ? "endOfData" : "beginningOfMedium", left];
      this.at += step;
      if (object === "filemark" && code === 0) return ["filemark", left];
      if (code === 0 || object === "filemark") left--;
    }
    return ["good", 0];
  }

  locate(lba: number): DriveOutcome {
    this.at = Math.min(lba, this.objects.length);
    return lba > this.objects.length ? "endOfData" : "good";
  }
}

function run(seed: number, directory: string): void {
  const below = random(seed);
  const path = join(directory, `R${seed}.tape`);
  createCartridge(path, { barcode: `R${seed}`, serial: "S", capacityBytes: 1e12, earlyWarningBytes: 0 }, 0);
  const tape = new ModelTape();
  const area = new NativeArea();
  const expected = new NativeArea();
  const paceBytesPerSecond = below(2) === 0 ? 0 : 1e6;
  const bufferBytes = below(3) === 0 ? 0 : 200_000;
  let transport: FileTransport;
  let drive: TapeDrive;

  const mount = () => {
    transport = new FileTransport({
      identity: { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: "D" },
      announcesPowerOn: false,
      clock: new ManualDriveClock(),
      paceBytesPerSecond,
      bufferBytes,
    });
    drive = new TapeDrive(transport);
    expect(transport.insert(path)).toEqual({ kind: "inserted" });
    expect(drive.testUnitReady()).toBe("good");
    tape.at = 0;
  };

  const write = (step: number) => {
    const bytes = 1 + below([16, 600, 5000, 100_000][below(4)]!);
    tape.write({ bytes, seed: step });
    expect(drive.write(area.address, area.fill(bytes, step))).toBe("good");
  };
  const read = () => {
    const object = tape.read();
    const outcome = drive.read(area.address, 100_001);
    if (typeof object === "string") {
      expect(outcome).toBe(object);
      return;
    }
    expect([outcome, drive.transferredBytes]).toEqual(["good", object.bytes]);
    expected.fill(object.bytes, object.seed);
    const same = Buffer.compare(
      area.bytes.subarray(0, object.bytes),
      expected.bytes.subarray(0, object.bytes),
    );
    expect(same).toBe(0);
  };
  /** What was in the buffer, or half written, is gone; the rest is there. */
  const loseTail = (objects: number) => {
    tape.objects.length = objects;
    tape.at = Math.min(tape.at, objects);
  };

  mount();
  for (let step = 0; step < STEPS; step++) {
    switch (below(14)) {
      case 0:
      case 1:
      case 2:
      case 3:
        write(step);
        break;
      case 4: {
        const count = below(3);
        for (let mark = 0; mark < count; mark++) tape.write("filemark");
        expect(drive!.writeFilemarks(count, below(2) === 0)).toBe("good");
        break;
      }
      case 5:
      case 6:
        read();
        break;
      case 7:
      case 8: {
        const code = below(2) === 0 ? 0 : 1;
        const count = below(13) - 6;
        const [outcome, residual] = tape.space(code, count);
        expect([drive!.space(code, count), drive!.information]).toEqual([outcome, residual]);
        break;
      }
      case 9: {
        const lba = below(tape.objects.length + 3);
        expect(drive!.locate(lba)).toBe(tape.locate(lba));
        break;
      }
      case 10:
        expect(drive!.spaceToEndOfData()).toBe("good");
        tape.at = tape.objects.length;
        break;
      case 11:
        transport!.close();
        mount();
        break;
      case 12: {
        // The drive dies with what is in its buffer.
        expect(drive!.readPosition()).toBe("good");
        const { lastOnMedium, blocksInBuffer } = drive!.position;
        if (blocksInBuffer > 0) loseTail(lastOnMedium);
        transport!.faults.arm({ when: { command: "rewind" }, what: { kind: "vanish", loseBuffer: true } });
        expect(drive!.rewind()).toBe("unreachable");
        transport!.close();
        mount();
        break;
      }
      case 13: {
        // The machine dies in the middle of writing the last record: nothing was synchronised since.
        if (below(3) !== 0 || tape.at !== tape.objects.length) break;
        write(step);
        transport!.close();
        truncateSync(path, statSync(path).size - 1 - below(500));
        loseTail(tape.objects.length - 1);
        mount();
        break;
      }
    }
    expect(drive!.readPositionLong()).toBe("good");
    expect([drive!.position.position, drive!.position.fileNumber]).toEqual([tape.at, tape.fileNumber]);
  }
  transport!.close();

  const reader = new CartridgeReader(path);
  const found = [...reader.objects(true)].map((object) => (object.kind === "filemark" ? 0 : object.bytes));
  expect(found).toEqual(tape.objects.map((object) => (object === "filemark" ? 0 : object.bytes)));
  expect(reader.tornBytes).toBe(0);
  reader.close();
  rmSync(path);
}

test(`RED-04: a file drive and a model of a tape agree over ${RUNS} x ${STEPS} random commands`, () => {
  const directory = mkdtempSync(join(tmpdir(), "understudy-fuzz-"));
  try {
    const fixed = Number(process.env.UNDERSTUDY_SEED ?? 0);
    const first = fixed > 0 ? fixed : 1;
    for (let seed = first; seed < first + (fixed > 0 ? 1 : RUNS); seed++) {
      try {
        run(seed, directory);
      } catch (error) {
        throw new Error(`UNDERSTUDY_SEED=${seed}: ${error instanceof Error ? error.message : error}`, {
          cause: error,
        });
      }
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}, 120_000);
