/** @module A drive that has neither LOCATE nor a usable READ POSITION keeps the whole contract through SpacingTransport,
 *  whether its SPACE stops at filemarks (SSC-5) or counts them as objects (tgtd). */
import { expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { CommandReply, DataDirection } from "../../src/base/command-reply.ts";
import { libc } from "../../src/base/ffi.ts";
import { createCartridge } from "../../src/device/file/cartridge.ts";
import { FileTransport } from "../../src/device/file/file-transport.ts";
import { SpacingTransport } from "../../src/device/spacing-transport.ts";
import { TapeDrive } from "../../src/device/tape-drive.ts";
import type { Transport } from "../../src/device/transport.ts";
import { LOCATE_10, LOCATE_16, READ_POSITION } from "../../src/scsi/opcodes.ts";
import { encodeFixedSense } from "../../src/scsi/sense.ts";
import { invalidOpcode } from "../../src/scsi/senses.ts";
import { STATUS_CHECK_CONDITION } from "../../src/scsi/unit/task.ts";
import { driveContract, NativeArea, type OpenedDrive } from "./drive-contract.ts";

const MIB = 1024 * 1024;
const BPU = 0x04;

/** Takes LOCATE and the position away from a drive. */
class Blind implements Transport {
  readonly describe = "blind drive";
  sent: number[] = [];
  constructor(
    private readonly inner: FileTransport,
    private readonly answersPosition: boolean,
  ) {}

  execute(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    const opcode = cdb[0] ?? 0;
    this.sent.push(opcode);
    const isLocate = opcode === LOCATE_10 || opcode === LOCATE_16;
    if (isLocate || (opcode === READ_POSITION && !this.answersPosition)) {
      reply.clear();
      reply.status = STATUS_CHECK_CONDITION;
      reply.senseBytes = encodeFixedSense(invalidOpcode, reply.sense);
      return;
    }
    this.inner.execute(cdb, direction, dataAddress, dataBytes, timeoutMs, reply);
    if (opcode === READ_POSITION) libc.memcpy(dataAddress, blank.address, dataBytes);
  }

  close(): void {
    this.inner.close();
  }
}

const blank = new NativeArea();
blank.bytes[0] = BPU;

function open(answersPosition: boolean, wrap: (inner: FileTransport) => Transport): OpenedDrive {
  const directory = mkdtempSync(join(tmpdir(), "understudy-drive-"));
  const path = join(directory, "UND001L8.tape");
  const capacityBytes = 48 * MIB;
  const earlyWarningBytes = 4 * MIB;
  createCartridge(path, { barcode: "UND001L8", serial: "C001", capacityBytes, earlyWarningBytes }, 0);
  const file = new FileTransport({
    identity: { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: "D001" },
    ...(answersPosition ? { bufferBytes: 3 * MIB } : {}),
  });
  file.insert(path);
  return {
    transport: wrap(file),
    capacityBytes,
    earlyWarningBytes,
    close() {
      file.close();
      rmSync(directory, { recursive: true });
    },
  };
}

for (const answers of [true, false]) {
  const name = answers ? "position always invalid" : "no READ POSITION";
  driveContract(`blind (${name}), by SPACE`, () =>
    open(answers, (file) => new SpacingTransport(new Blind(file, answers))),
  );
}
driveContract("a drive that tells its place is left alone", () =>
  open(true, (file) => new SpacingTransport(file)),
);

test("SSC-5 §7.7: a drive that tells its place gets every command as it is, after one question", () => {
  const opened = open(true, (file) => new SpacingTransport(file));
  const drive = new TapeDrive(opened.transport);
  drive.testUnitReady();
  expect(drive.rewind()).toBe("good");
  expect((opened.transport as SpacingTransport).positioning).toBe("locate");
  opened.close();
});

test("RED-33, DESIGN rule 3: a position confirmed by a blind drive is behind a synchronising filemark", () => {
  let blind: Blind | undefined;
  const opened = open(true, (file) => {
    blind = new Blind(file, true);
    return new SpacingTransport(blind);
  });
  const drive = new TapeDrive(opened.transport);
  const area = new NativeArea();
  drive.testUnitReady();
  expect(drive.rewind()).toBe("good");
  for (let n = 0; n < 3; n++) expect(drive.write(area.address, area.fill(1000, n))).toBe("good");
  if (blind) blind.sent = [];
  expect(drive.readPosition()).toBe("good");
  expect(drive.position).toMatchObject({ valid: true, position: 3, lastOnMedium: 3 });
  expect(drive.readPosition()).toBe("good");
  expect(blind?.sent).toEqual([0x10]);
  opened.close();
});
