/** @module A cartridge's header page: what is printed on its shell and in its chip. Written once, when the cartridge is made. */
import {
  FLAG_WRITE_PROTECTED,
  FORMAT_VERSION,
  getU64,
  PAGE_BARCODE_AT,
  PAGE_BYTES,
  PAGE_BYTES_AT,
  PAGE_CAPACITY_AT,
  PAGE_CREATED_MS_AT,
  PAGE_DENSITY_AT,
  PAGE_EARLY_WARNING_AT,
  PAGE_FLAGS_AT,
  PAGE_HASH_AT,
  PAGE_HASHED_BYTES,
  PAGE_ID_AT,
  PAGE_MAGIC_AT,
  PAGE_MAGIC_HIGH,
  PAGE_MAGIC_LOW,
  PAGE_MEDIUM_TYPE_AT,
  PAGE_SERIAL_AT,
  PAGE_TEXT_BYTES,
  PAGE_VERSION_AT,
  setU64,
} from "./layout.ts";

/** What a new cartridge is to be. */
export interface CartridgeSpec {
  readonly barcode: string;
  readonly serial: string;
  /** Native capacity (bytes): counts block data only. */
  readonly capacityBytes: number;
  /** Length of the zone before the physical end in which writes are answered with early warning (bytes). */
  readonly earlyWarningBytes: number;
  readonly writeProtected?: boolean;
  readonly densityCode?: number;
  readonly mediumType?: number;
}

export interface CartridgeLabel {
  readonly barcode: string;
  readonly serial: string;
  readonly capacityBytes: number;
  readonly earlyWarningBytes: number;
  writeProtected: boolean;
  readonly densityCode: number;
  readonly mediumType: number;
  readonly createdMs: number;
  /** Random number that every record of this cartridge carries: a copy of another cartridge inside a block is no record. */
  readonly idLow: number;
  readonly idHigh: number;
}

/** LTO-8: density 5Eh, medium type 88h. */
export const DENSITY_LTO8 = 0x5e;
export const MEDIUM_TYPE_LTO8 = 0x88;

function putText(page: Uint8Array, at: number, text: string): void {
  page.set(new TextEncoder().encode(text).subarray(0, PAGE_TEXT_BYTES), at);
}

function getText(page: Uint8Array, at: number): string {
  const field = page.subarray(at, at + PAGE_TEXT_BYTES);
  const end = field.indexOf(0);
  return new TextDecoder().decode(end < 0 ? field : field.subarray(0, end));
}

export function encodeLabel(label: CartridgeLabel): Uint8Array {
  const page = new Uint8Array(PAGE_BYTES);
  const view = new DataView(page.buffer);
  view.setUint32(PAGE_MAGIC_AT, PAGE_MAGIC_LOW, true);
  view.setUint32(PAGE_MAGIC_AT + 4, PAGE_MAGIC_HIGH, true);
  view.setUint32(PAGE_VERSION_AT, FORMAT_VERSION, true);
  view.setUint32(PAGE_BYTES_AT, PAGE_BYTES, true);
  view.setUint32(PAGE_ID_AT, label.idLow, true);
  view.setUint32(PAGE_ID_AT + 4, label.idHigh, true);
  setU64(view, PAGE_CAPACITY_AT, label.capacityBytes);
  setU64(view, PAGE_EARLY_WARNING_AT, label.earlyWarningBytes);
  setU64(view, PAGE_CREATED_MS_AT, label.createdMs);
  view.setUint32(PAGE_FLAGS_AT, label.writeProtected ? FLAG_WRITE_PROTECTED : 0, true);
  page[PAGE_DENSITY_AT] = label.densityCode;
  page[PAGE_MEDIUM_TYPE_AT] = label.mediumType;
  putText(page, PAGE_BARCODE_AT, label.barcode);
  putText(page, PAGE_SERIAL_AT, label.serial);
  view.setBigUint64(PAGE_HASH_AT, Bun.hash.xxHash3(page.subarray(0, PAGE_HASHED_BYTES)), true);
  return page;
}

/** The label, or words that say why this is no cartridge. */
export function decodeLabel(page: Uint8Array): CartridgeLabel | string {
  if (page.length < PAGE_BYTES) return "shorter than a cartridge's header page (4096 bytes)";
  const view = new DataView(page.buffer, page.byteOffset, page.byteLength);
  const magicFits =
    view.getUint32(PAGE_MAGIC_AT, true) === PAGE_MAGIC_LOW &&
    view.getUint32(PAGE_MAGIC_AT + 4, true) === PAGE_MAGIC_HIGH;
  if (!magicFits) return "not a cartridge file (signature USTAPE01 is missing)";
  const version = view.getUint32(PAGE_VERSION_AT, true);
  if (version !== FORMAT_VERSION) return `format version ${version}, this program reads ${FORMAT_VERSION}`;
  if (view.getBigUint64(PAGE_HASH_AT, true) !== Bun.hash.xxHash3(page.subarray(0, PAGE_HASHED_BYTES))) {
    return "the header page is damaged (its hash does not fit)";
  }
  return {
    barcode: getText(page, PAGE_BARCODE_AT),
    serial: getText(page, PAGE_SERIAL_AT),
    capacityBytes: getU64(view, PAGE_CAPACITY_AT),
    earlyWarningBytes: getU64(view, PAGE_EARLY_WARNING_AT),
    writeProtected: (view.getUint32(PAGE_FLAGS_AT, true) & FLAG_WRITE_PROTECTED) !== 0,
    densityCode: page[PAGE_DENSITY_AT]!,
    mediumType: page[PAGE_MEDIUM_TYPE_AT]!,
    createdMs: getU64(view, PAGE_CREATED_MS_AT),
    idLow: view.getUint32(PAGE_ID_AT, true),
    idHigh: view.getUint32(PAGE_ID_AT + 4, true),
  };
}
