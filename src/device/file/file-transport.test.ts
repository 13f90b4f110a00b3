import { ptr } from "bun:ffi";
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { isMalformed } from "../../base/brands.ts";
import { TapeDrive } from "../tape-drive.ts";
import { createCartridge } from "./cartridge.ts";
import { ManualDriveClock } from "./clock.ts";
import { parseFaultRule } from "./faults.ts";
import { type FileDriveOptions, FileTransport } from "./file-transport.ts";

const KIB = 1024;
const BLOCK = 64 * KIB;
const area = new Uint8Array(new ArrayBuffer(1024 * KIB));
const address = Number(ptr(area));
let directory = "";
const open: FileTransport[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "understudy-transport-"));
});
afterEach(() => {
  for (const transport of open.splice(0)) transport.close();
  rmSync(directory, { recursive: true });
});

function cartridge(barcode = "UND001L8", writeProtected = false): string {
  const path = join(directory, `${barcode}.tape`);
  createCartridge(
    path,
    { barcode, serial: `S${barcode}`, capacityBytes: 1e9, earlyWarningBytes: 1e6, writeProtected },
    0,
  );
  return path;
}

function drive(options: Partial<FileDriveOptions> = {}): { transport: FileTransport; drive: TapeDrive } {
  const transport = new FileTransport({
    identity: { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: "D001" },
    clock: new ManualDriveClock(),
    ...options,
  });
  open.push(transport);
  return { transport, drive: new TapeDrive(transport) };
}

function loaded(options: Partial<FileDriveOptions> = {}) {
  const made = drive(options);
  const path = cartridge();
  expect(made.transport.insert(path)).toEqual({ kind: "inserted" });
  expect(made.drive.testUnitReady()).toBe("good");
  return { ...made, path };
}

function arm(transport: FileTransport, text: string): void {
  const rule = parseFaultRule(text);
  if (isMalformed(rule)) throw new Error(rule.expected);
  transport.faults.arm(rule);
}

function write(on: TapeDrive, blocks: number): void {
  for (let index = 0; index < blocks; index++) {
    area.fill(index & 255, 0, BLOCK);
    expect(on.write(address, BLOCK)).toBe("good");
  }
}

function position(on: TapeDrive) {
  expect(on.readPosition()).toBe("good");
  const { position, lastOnMedium, blocksInBuffer, bytesInBuffer, valid } = on.position;
  return { position, lastOnMedium, blocksInBuffer, bytesInBuffer, valid };
}

describe("cartridges in and out", () => {
  test("an empty drive has no medium; one that was put in announces itself once", () => {
    const { transport, drive: tape } = drive({ announcesPowerOn: false });
    expect(tape.testUnitReady()).toBe("notReady");
    expect([tape.asc, tape.ascq]).toEqual([0x3a, 0]);
    transport.insert(cartridge());
    expect(tape.write(address, 10)).toBe("unitAttention");
    expect(tape.asc).toBe(0x28);
    expect(tape.write(address, 10)).toBe("good");
    expect(transport.insert(cartridge("UND002L8"))).toEqual({ kind: "full" });
    expect(transport.eject()).toBe("ejected");
    expect(transport.eject()).toBe("empty");
    expect(tape.testUnitReady()).toBe("notReady");
  });

  test("RED-20: unit attentions are swallowed by TEST UNIT READY and counted, never by WRITE", () => {
    const { transport, drive: tape } = drive();
    transport.insert(cartridge());
    expect(tape.write(address, 10)).toBe("unitAttention");
    transport.eject();
    transport.insert(cartridge("UND002L8"));
    expect(tape.testUnitReady()).toBe("good");
    expect(tape.unitAttentions).toBe(1);
    expect(tape.write(address, 10)).toBe("good");
  });

  test("LOCATE reports a changed medium", () => {
    const { transport, drive: tape } = loaded();
    transport.eject();
    transport.insert(cartridge("UND002L8"));
    expect(tape.locate(0)).toBe("unitAttention");
  });

  test("rule 11: the cartridge tells serial and barcode", () => {
    expect(loaded().drive.identifyCartridge()).toEqual({ serial: "SUND001L8", barcode: "UND001L8" });
  });

  test("what is no cartridge is not taken", () => {
    const { transport } = drive();
    expect(transport.insert(join(directory, "none.tape"))).toMatchObject({ kind: "problem" });
    expect(transport.medium.medium.present).toBe(false);
  });

  test("a write-protected cartridge is DATA PROTECT", () => {
    const { transport, drive: tape } = drive();
    transport.insert(cartridge("UND003L8", true));
    tape.testUnitReady();
    expect(tape.write(address, 10)).toBe("error");
    expect([tape.senseKey, tape.asc]).toEqual([7, 0x27]);
  });

  test("removal prevented by the host keeps the robot off", () => {
    const { transport, drive: tape } = loaded();
    const prevent = new Uint8Array([0x1e, 0, 0, 0, 1, 0]);
    expect(tape.executeRaw(prevent, "none", 0, 0)).toBe("good");
    expect(transport.eject()).toBe("prevented");
    prevent[4] = 0;
    expect(tape.executeRaw(prevent, "none", 0, 0)).toBe("good");
    expect(transport.eject()).toBe("ejected");
  });

  test("a drive whose cartridge was taken by force writes no more", () => {
    const first = loaded();
    write(first.drive, 3);
    const second = drive();
    second.transport.insert(first.path);
    expect(first.drive.write(address, BLOCK)).toBe("notReady");
    expect(second.drive.testUnitReady()).toBe("good");
    expect(second.drive.spaceToEndOfData()).toBe("good");
    expect(position(second.drive).position).toBe(3);
  });
});

describe("buffer and pace", () => {
  test("rule 3: READ POSITION tells what is not on the medium, until a filemark synchronises", () => {
    const { drive: tape } = loaded({ paceBytesPerSecond: BLOCK * 10, bufferBytes: BLOCK * 8 });
    write(tape, 5);
    expect(position(tape)).toEqual({
      position: 5,
      lastOnMedium: 0,
      blocksInBuffer: 5,
      bytesInBuffer: 5 * BLOCK,
      valid: true,
    });
    expect(tape.writeFilemarks(1, true)).toBe("good");
    expect(position(tape).blocksInBuffer).toBe(6);
    expect(tape.writeFilemarks(0, false)).toBe("good");
    expect(position(tape)).toMatchObject({ position: 6, lastOnMedium: 6, blocksInBuffer: 0 });
  });

  test("a WRITE waits while its bytes do not fit", () => {
    const clock = new ManualDriveClock();
    const { drive: tape } = loaded({ clock, paceBytesPerSecond: BLOCK * 10, bufferBytes: BLOCK * 4 });
    write(tape, 4);
    expect(clock.sleptMs).toBe(0);
    write(tape, 6);
    expect(clock.sleptMs).toBeCloseTo(600, 3);
    expect(tape.rewind()).toBe("good");
    expect(clock.sleptMs).toBeCloseTo(1000, 3);
  });

  test("unbuffered mode: GOOD means on the medium", () => {
    const { drive: tape } = loaded({ paceBytesPerSecond: BLOCK * 10 });
    expect(tape.setBlockLength(0, false)).toBe("good");
    write(tape, 2);
    expect(position(tape).blocksInBuffer).toBe(0);
  });

  test("idle time and the data that waited meanwhile are counted", () => {
    const clock = new ManualDriveClock(1000);
    const { transport, drive: tape } = loaded({ clock, paceBytesPerSecond: BLOCK * 10 });
    write(tape, 1);
    clock.advance(300);
    transport.dataAvailableSinceMs = 1250;
    write(tape, 1);
    expect(transport.medium.buffer.idleMs).toBeCloseTo(200, 6);
    expect(transport.medium.buffer.idleWhileWaitingMs).toBeCloseTo(50, 6);
  });

  test("real time: 20 MB at 200 MB/s with a small buffer take about 95 ms", () => {
    const { drive: tape } = loaded({
      clock: { nowMs: () => performance.now(), sleepMs: (ms) => Bun.sleepSync(ms) },
      paceBytesPerSecond: 200e6,
      bufferBytes: 1e6,
    });
    const startMs = performance.now();
    for (let index = 0; index < 200; index++) expect(tape.write(address, 100_000)).toBe("good");
    const tookMs = performance.now() - startMs;
    expect(tookMs).toBeGreaterThan(94);
    expect(tookMs).toBeLessThan(3000);
  });

  test("latencies of the mechanism", () => {
    const clock = new ManualDriveClock();
    const { drive: tape } = loaded({
      clock,
      latencies: { loadMs: 16_000, rewindMs: 90_000, locateMs: 65_000, unloadMs: 56_000, commandMs: 1 },
    });
    expect(clock.sleptMs).toBe(16_000);
    tape.rewind();
    expect(clock.sleptMs).toBe(106_001);
    tape.locate(0);
    expect(clock.sleptMs).toBe(171_002);
    tape.unload();
    expect(clock.sleptMs).toBe(227_003);
  });
});

describe("faults", () => {
  test("RED-18: a hardware error breaks the drive until it is cleared, and its buffer is lost", () => {
    const { transport, drive: tape } = loaded({ bufferBytes: BLOCK * 3 });
    arm(transport, "on write 11: hardware error");
    write(tape, 10);
    expect(tape.write(address, BLOCK)).toBe("error");
    expect([tape.senseKey, tape.asc, tape.ascq]).toEqual([4, 0x44, 0]);
    expect(tape.information).toBe(BLOCK);
    expect(tape.rewind()).toBe("error");
    expect(tape.senseKey).toBe(4);
    expect(tape.testUnitReady()).toBe("error");
    expect(tape.tapeAlerts()).toEqual([30]);
    expect(tape.tapeAlerts()).toEqual([]); // asking clears
    expect(tape.inquiry()?.serial).toBe("D001");
    expect(transport.eject()).toBe("ejected");
    transport.faults.clear();
    transport.insert(join(directory, "UND001L8.tape"));
    expect(tape.testUnitReady()).toBe("good");
    expect(tape.spaceToEndOfData()).toBe("good");
    expect(position(tape).position).toBe(7);
  });

  test("RED-20: the cartridge of a broken drive goes on in another one", () => {
    const first = loaded();
    arm(first.transport, "on write 4: hardware error");
    write(first.drive, 3);
    expect(first.drive.write(address, BLOCK)).toBe("error");
    first.transport.eject();
    const second = drive();
    second.transport.insert(first.path);
    expect(second.drive.testUnitReady()).toBe("good");
    expect(second.drive.spaceToEndOfData()).toBe("good");
    expect(position(second.drive).position).toBe(3);
    write(second.drive, 1);
  });

  test("a medium error fails one write, nothing of it is on the medium", () => {
    const { transport, drive: tape } = loaded();
    arm(transport, "on write 3: medium error");
    write(tape, 2);
    expect(tape.write(address, BLOCK)).toBe("error");
    expect([tape.senseKey, tape.asc]).toEqual([3, 0x0c]);
    expect(position(tape).position).toBe(2);
    write(tape, 1);
  });

  test("rule 4: a deferred error is of an earlier block; the tape ends at what was on the medium", () => {
    const { transport, drive: tape } = loaded({ bufferBytes: BLOCK * 4 });
    arm(transport, "on write 9: deferred error");
    write(tape, 8);
    expect(tape.write(address, BLOCK)).toBe("deferredError");
    expect(tape.rawSense[0]! & 0x7f).toBe(0x71);
    expect(tape.senseKey).toBe(3);
    expect(position(tape)).toMatchObject({ position: 4, lastOnMedium: 4, blocksInBuffer: 0 });
  });

  test("a deferred hardware error breaks the drive", () => {
    const { transport, drive: tape } = loaded();
    arm(transport, "on write 2: deferred error hardware");
    write(tape, 1);
    expect(tape.write(address, BLOCK)).toBe("deferredError");
    expect(tape.write(address, BLOCK)).toBe("error");
    expect(tape.senseKey).toBe(4);
  });

  test("a hang of known length delays the command, which is then carried out", () => {
    const clock = new ManualDriveClock();
    const { transport, drive: tape } = loaded({ clock });
    arm(transport, "on write 2: hang 700 ms");
    write(tape, 2);
    expect(clock.sleptMs).toBeCloseTo(700, 6);
    expect(position(tape).position).toBe(2);
  });

  test("a hang without end times out, command after command, until it is released", () => {
    const clock = new ManualDriveClock();
    const { transport, drive: tape } = loaded({ clock });
    arm(transport, "on write 2: hang");
    write(tape, 1);
    expect(tape.write(address, BLOCK)).toBe("unreachable");
    expect(tape.reply.cause).toBe("timed out");
    expect(clock.sleptMs).toBeCloseTo(900_000, 0);
    expect(tape.testUnitReady()).toBe("unreachable");
    transport.faults.release();
    expect(position(tape).position).toBe(1);
  });

  test("a hang can be ended from inside, by whoever polls the orders", () => {
    const clock = new ManualDriveClock();
    let ticks = 0;
    const made = loaded({
      clock,
      whileHung: () => {
        if (++ticks === 3) made.transport.faults.release();
      },
    });
    arm(made.transport, "on write 1: hang");
    write(made.drive, 1);
    expect(ticks).toBe(3);
  });

  test("a hung drive that comes back after the robot took its cartridge does no harm", () => {
    const other = drive();
    const made = loaded({
      whileHung: () => {
        other.transport.insert(made.path);
        made.transport.faults.release();
      },
    });
    arm(made.transport, "on write 4: hang");
    write(made.drive, 3);
    expect(made.drive.write(address, BLOCK)).toBe("notReady");
    other.drive.testUnitReady();
    other.drive.spaceToEndOfData();
    expect(position(other.drive).position).toBe(3);
  });

  test("a drive that vanished answers nothing any more, and its buffer is lost", () => {
    const { transport, drive: tape, path } = loaded({ bufferBytes: BLOCK * 2 });
    arm(transport, "on write 6: vanish");
    write(tape, 5);
    expect(tape.write(address, BLOCK)).toBe("unreachable");
    expect(tape.inquiry()).toBeNull();
    expect(tape.readPosition()).toBe("unreachable");
    const second = drive();
    second.transport.insert(path);
    second.drive.testUnitReady();
    second.drive.spaceToEndOfData();
    expect(position(second.drive).position).toBe(3);
  });

  test("a lost answer: the command was carried out, the initiator cannot know", () => {
    const { transport, drive: tape } = loaded();
    arm(transport, "on write 3: no answer");
    write(tape, 2);
    expect(tape.write(address, BLOCK)).toBe("unreachable");
    expect(position(tape).position).toBe(3);
    write(tape, 1);
  });

  test("write protect comes from the drive and stays", () => {
    const { transport, drive: tape } = loaded();
    arm(transport, "on write 2: write protect");
    write(tape, 1);
    expect(tape.write(address, BLOCK)).toBe("error");
    expect(tape.senseKey).toBe(7);
    expect(tape.write(address, BLOCK)).toBe("error");
    transport.faults.clear();
    write(tape, 1);
  });

  test("RED-21: a stuck cartridge is neither unloaded nor taken out", () => {
    const { transport, drive: tape } = loaded();
    arm(transport, "on unload: stuck");
    write(tape, 1);
    expect(tape.unload()).toBe("error");
    expect([tape.senseKey, tape.asc]).toEqual([4, 0x53]);
    expect(transport.eject()).toBe("stuck");
    transport.faults.clear();
    expect(transport.eject()).toBe("ejected");
  });

  test("a drive that breaks while threading holds the cartridge and is broken", () => {
    const { transport, drive: tape } = drive();
    arm(transport, "on load: hardware error");
    expect(transport.insert(cartridge())).toEqual({ kind: "inserted" });
    expect(tape.testUnitReady()).toBe("error");
    expect(tape.senseKey).toBe(4);
    expect(transport.eject()).toBe("ejected");
  });

  test("any sense triple, and TapeAlert for the hardware", () => {
    const { transport, drive: tape } = loaded();
    arm(transport, "on locate: sense 3/1403");
    expect(tape.locate(0)).toBe("error");
    expect([tape.senseKey, tape.asc, tape.ascq]).toEqual([3, 0x14, 0x03]);
    arm(transport, "on write: hardware error");
    tape.write(address, BLOCK);
    expect(transport.medium.takeTapeAlerts()).toContain(30);
    expect(transport.medium.takeTapeAlerts()).toEqual([]);
  });
});
