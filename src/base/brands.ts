/** @module Names that must not be mixed up: each kind of identity is a type of its own, made at one door.
 *  A parser returns the branded value or a `Malformed` that says what was expected. */

declare const brand: unique symbol;
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };

/** Text that did not pass a door. */
export interface Malformed {
  readonly kind: "malformed";
  readonly given: string;
  readonly expected: string;
}

export function malformed(given: string, expected: string): Malformed {
  return { kind: "malformed", given, expected };
}

export function isMalformed(value: unknown): value is Malformed {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "malformed";
}

/** A cartridge's volume tag as the robot reads it. */
export type Barcode = Brand<string, "Barcode">;
/** A real drive behind the device: its number in the library, from 1. */
export type DriveId = Brand<number, "DriveId">;
/** A directing device, that is, a virtual drive, by its name. */
export type DeviceName = Brand<string, "DeviceName">;
/** Serial number as a unit's VPD page 80h shows it. */
export type SerialNumber = Brand<string, "SerialNumber">;

const BARCODE = /^[A-Z0-9]{1,32}$/;
const DEVICE_NAME = /^[a-z0-9][a-z0-9.-]{0,31}$/;
const SERIAL_NUMBER = /^[A-Za-z0-9_-]{1,32}$/;

function isBarcode(text: string): text is Barcode {
  return BARCODE.test(text);
}

function isDriveId(value: number): value is DriveId {
  return Number.isSafeInteger(value) && value >= 1 && value <= 255;
}

function isDeviceName(text: string): text is DeviceName {
  return DEVICE_NAME.test(text);
}

function isSerialNumber(text: string): text is SerialNumber {
  return SERIAL_NUMBER.test(text);
}

export function parseBarcode(text: string): Barcode | Malformed {
  return isBarcode(text)
    ? text
    : malformed(text, "a barcode: 1 to 32 capital letters and digits, as UND001L8");
}

export function parseDriveId(given: string | number): DriveId | Malformed {
  const value = typeof given === "number" ? given : /^\d{1,3}$/.test(given) ? Number(given) : Number.NaN;
  return isDriveId(value) ? value : malformed(String(given), "a drive's number from 1 on, as 1");
}

export function parseDeviceName(text: string): DeviceName | Malformed {
  return isDeviceName(text)
    ? text
    : malformed(text, "a name of small letters, digits, dots and hyphens, as drive-1");
}

export function parseSerialNumber(text: string): SerialNumber | Malformed {
  return isSerialNumber(text) ? text : malformed(text, "a serial number: 1 to 32 letters, digits, - or _");
}
