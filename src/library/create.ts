/** @module A new embedded library: drives, spares, slots, and a cartridge in each slot, as files. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  type Barcode,
  isMalformed,
  parseBarcode,
  parseDriveId,
  parseSerialNumber,
  type SerialNumber,
} from "../base/brands.ts";
import { FIRST_DRIVE_ADDRESS, FIRST_SLOT_ADDRESS } from "./robot.ts";
import {
  CARTRIDGE_DIRECTORY,
  cartridgePath,
  type LibraryProblem,
  type LibraryState,
  libraryExists,
  saveLibraryState,
} from "./state.ts";

export interface NewCartridge {
  readonly barcode: Barcode;
  readonly serial: SerialNumber;
  readonly capacityBytes: number;
  readonly earlyWarningBytes: number;
}

/** Makes a cartridge's file; words that say why it could not, or null. The device floor has it. */
export type MakeCartridge = (path: string, cartridge: NewCartridge) => string | null;

export interface NewLibrary {
  readonly directory: string;
  readonly name?: string;
  readonly drives: number;
  readonly spares: number;
  readonly slots: number;
  /** Cartridges, in the first slots; default: one in each slot. */
  readonly cartridges?: number;
  /** The last so many of the cartridges are kept in reserve; default 0. */
  readonly spareCartridges?: number;
  readonly capacityBytes: number;
  readonly earlyWarningBytes: number;
  /** UND and L8 make UND001L8. */
  /** One a cartridge; default: made of prefix, number and suffix. */
  readonly barcodes?: readonly Barcode[];
  readonly barcodePrefix?: string;
  readonly barcodeSuffix?: string;
  /** Distinguishes the serials of several libraries; default: drawn by lot. */
  readonly serialPrefix?: string;
}

export function drawPrefix(): string {
  return `U${[...crypto.getRandomValues(new Uint8Array(3))].map((byte) => byte.toString(16).padStart(2, "0")).join("")}`.toUpperCase();
}

/** Makes the library; nothing of an older one is ever overwritten. */
export function createLibrary(
  wanted: NewLibrary,
  makeCartridge: MakeCartridge,
): LibraryState | LibraryProblem {
  const { directory } = wanted;
  const problem = (path: string, why: string): LibraryProblem => ({ kind: "problem", path, why });
  if (libraryExists(directory)) return problem(directory, "there is a library already");
  const prefix = wanted.serialPrefix ?? drawPrefix();
  const cartridgeCount = Math.min(wanted.cartridges ?? wanted.slots, wanted.slots);
  const spareFrom = cartridgeCount - (wanted.spareCartridges ?? 0);

  const drives: LibraryState["drives"] = [];
  for (let number = 1; number <= wanted.drives + wanted.spares; number++) {
    const id = parseDriveId(number);
    const serial = parseSerialNumber(`${prefix}D${String(number).padStart(2, "0")}`);
    if (isMalformed(id))
      return problem(directory, `drives and spares: expected at most 255 in all, not ${number}`);
    if (isMalformed(serial)) return problem(directory, `serial prefix: expected ${serial.expected}`);
    const address = FIRST_DRIVE_ADDRESS + number - 1;
    drives.push({ id, address, serial, isSpare: number > wanted.drives, barcode: null, failure: null });
  }

  const slots: LibraryState["slots"] = [];
  const cartridges: LibraryState["cartridges"] = [];
  mkdirSync(join(directory, CARTRIDGE_DIRECTORY), { recursive: true, mode: 0o700 });
  for (let number = 1; number <= wanted.slots; number++) {
    const address = FIRST_SLOT_ADDRESS + number - 1;
    if (number > cartridgeCount) {
      slots.push({ address, barcode: null });
      continue;
    }
    const digits = String(number).padStart(3, "0");
    const barcode =
      wanted.barcodes?.[number - 1] ??
      parseBarcode(`${wanted.barcodePrefix ?? "UND"}${digits}${wanted.barcodeSuffix ?? "L8"}`);
    const serial = parseSerialNumber(`${prefix}C${digits}`);
    if (isMalformed(barcode))
      return problem(directory, `barcodes: expected ${barcode.expected}, not ${barcode.given}`);
    if (isMalformed(serial)) return problem(directory, `serial prefix: expected ${serial.expected}`);
    const { capacityBytes, earlyWarningBytes } = wanted;
    const path = cartridgePath(directory, barcode);
    const why = makeCartridge(path, { barcode, serial, capacityBytes, earlyWarningBytes });
    if (why !== null) return problem(path, why);
    slots.push({ address, barcode });
    cartridges.push({ barcode, serial, capacityBytes, homeAddress: address, isSpare: number > spareFrom });
  }

  const state: LibraryState = {
    version: 1,
    name: wanted.name ?? "library",
    drives,
    slots,
    cartridges,
    errors: [],
  };
  saveLibraryState(directory, state);
  return state;
}
