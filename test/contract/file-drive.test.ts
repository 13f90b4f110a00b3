/** @module The file drive keeps the contract of every drive. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createCartridge } from "../../src/device/file/cartridge.ts";
import { ManualDriveClock } from "../../src/device/file/clock.ts";
import { type FileDriveOptions, FileTransport } from "../../src/device/file/file-transport.ts";
import { driveContract, type OpenedDrive } from "./drive-contract.ts";

const MIB = 1024 * 1024;

function open(options: Partial<FileDriveOptions>): OpenedDrive {
  const directory = mkdtempSync(join(tmpdir(), "understudy-drive-"));
  const path = join(directory, "UND001L8.tape");
  const capacityBytes = 48 * MIB;
  const earlyWarningBytes = 4 * MIB;
  createCartridge(path, { barcode: "UND001L8", serial: "C001", capacityBytes, earlyWarningBytes }, 0);
  const transport = new FileTransport({
    identity: { vendor: "UNDRSTDY", product: "FILE-DRIVE", revision: "0001", serial: "D001" },
    ...options,
  });
  transport.insert(path);
  return {
    transport,
    capacityBytes,
    earlyWarningBytes,
    close() {
      transport.close();
      rmSync(directory, { recursive: true });
    },
  };
}

driveContract("file", () => open({}));
driveContract("file, paced", () => open({ clock: new ManualDriveClock(), paceBytesPerSecond: 100e6 }));
driveContract("file, with a buffer", () => open({ bufferBytes: 3 * MIB }));
