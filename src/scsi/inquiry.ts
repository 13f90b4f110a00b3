/** @module INQUIRY data and vital product data (SPC-5 §7.7, SSC-5): written from an identity, and read back.
 *  RED-07: what the host sees is the identity handed in, never that of the drive behind. */
import { ascii, putAscii, putU16, putU32, u8, u16 } from "./bytes.ts";

export const DEVICE_TYPE_TAPE = 0x01;
export const DEVICE_TYPE_CHANGER = 0x08;
export const DEVICE_TYPE_NONE = 0x1f;

/** Who a logical unit says it is. At most 8, 16, 4 and 32 printable ASCII characters. */
export interface UnitIdentity {
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
  /** Unit serial number (VPD 80h); the changer's DVCID shows the same for a drive. */
  readonly serial: string;
}

export type TapeIdentity = UnitIdentity;
export type ChangerIdentity = UnitIdentity;

export const DEFAULT_REVISION = "0001";

export function defaultTapeIdentity(serial: string): TapeIdentity {
  return { vendor: "UNDRSTDY", product: "VIRTUAL-LTO8", revision: DEFAULT_REVISION, serial };
}

export function defaultChangerIdentity(serial: string): ChangerIdentity {
  return { vendor: "UNDRSTDY", product: "VIRTUAL-LIB", revision: DEFAULT_REVISION, serial };
}

export const SERIAL_BYTES_MAX = 32;
export const T10_DESIGNATOR_PREFIX_BYTES = 24;

export const VPD_SUPPORTED_PAGES = 0x00;
export const VPD_SERIAL = 0x80;
export const VPD_DEVICE_IDENTIFICATION = 0x83;
export const VPD_SEQUENTIAL_CAPABILITIES = 0xb0;
export const VPD_MANUFACTURER_SERIAL = 0xb1;
export const VPD_TAPE_ALERT_FLAGS = 0xb2;

const STANDARD_BYTES = 66;
const TAPE_ALERT_FLAGS_BYTES = 8;
/** Version descriptors (SPC-5 INQUIRY): SAM-5, SPC-4, iSCSI, then SSC-4 or SMC-3. No version claimed: xx0h codes. */
const COMMON_VERSIONS = [0x00a0, 0x0460, 0x0960] as const;
const SSC_4 = 0x0520;
const SMC_3 = 0x0480;

/** Standard INQUIRY data; returns its whole length. */
export function encodeInquiry(deviceType: number, identity: UnitIdentity, into: Uint8Array): number {
  into.fill(0, 0, STANDARD_BYTES);
  into[0] = deviceType;
  into[1] = 0x80; // RMB
  into[2] = 0x06; // SPC-4
  into[3] = 0x02; // response data format
  into[4] = STANDARD_BYTES - 5;
  into[7] = 0x02; // CMDQUE
  putAscii(into, 8, 8, identity.vendor);
  putAscii(into, 16, 16, identity.product);
  putAscii(into, 32, 4, identity.revision);
  let at = 58;
  for (const version of COMMON_VERSIONS) {
    putU16(into, at, version);
    at += 2;
  }
  putU16(into, at, deviceType === DEVICE_TYPE_CHANGER ? SMC_3 : SSC_4);
  return STANDARD_BYTES;
}

/** INQUIRY of a logical unit that does not exist: peripheral qualifier 3, type 1Fh (SPC-5 INQUIRY). */
export function encodeInquiryNoUnit(into: Uint8Array): number {
  into.fill(0, 0, 36);
  into[0] = 0x7f;
  into[2] = 0x06;
  into[3] = 0x02;
  into[4] = 36 - 5;
  putAscii(into, 8, 28, "");
  return 36;
}

function vpdHeader(deviceType: number, page: number, payloadBytes: number, into: Uint8Array): number {
  into[0] = deviceType;
  into[1] = page;
  putU16(into, 2, payloadBytes);
  return 4 + payloadBytes;
}

export function vpdPages(deviceType: number): readonly number[] {
  return deviceType === DEVICE_TYPE_TAPE
    ? [
        VPD_SUPPORTED_PAGES,
        VPD_SERIAL,
        VPD_DEVICE_IDENTIFICATION,
        VPD_SEQUENTIAL_CAPABILITIES,
        VPD_MANUFACTURER_SERIAL,
        VPD_TAPE_ALERT_FLAGS,
      ]
    : [VPD_SUPPORTED_PAGES, VPD_SERIAL, VPD_DEVICE_IDENTIFICATION];
}

/** One VPD page; returns its whole length, or -1 where the unit has no such page. */
export function encodeVpd(
  deviceType: number,
  identity: UnitIdentity,
  page: number,
  into: Uint8Array,
): number {
  const pages = vpdPages(deviceType);
  if (!pages.includes(page)) return -1;
  const serialBytes = Math.min(identity.serial.length, SERIAL_BYTES_MAX);
  switch (page) {
    case VPD_SUPPORTED_PAGES:
      for (const [index, code] of pages.entries()) into[4 + index] = code;
      return vpdHeader(deviceType, page, pages.length, into);
    case VPD_SERIAL:
    case VPD_MANUFACTURER_SERIAL:
      putAscii(into, 4, serialBytes, identity.serial);
      return vpdHeader(deviceType, page, serialBytes, into);
    case VPD_SEQUENTIAL_CAPABILITIES:
      into[4] = 0; // neither WORM nor tamper-resistant clock
      into[5] = 0;
      return vpdHeader(deviceType, page, 2, into);
    case VPD_TAPE_ALERT_FLAGS:
      // Bit n is flag n + 1, and LOG SENSE 2Eh has a parameter for each: any drive behind may raise any of them.
      into.fill(0xff, 4, 4 + TAPE_ALERT_FLAGS_BYTES);
      return vpdHeader(deviceType, page, TAPE_ALERT_FLAGS_BYTES, into);
    default: {
      const t10Bytes = putT10Designator(identity, into, 4);
      return vpdHeader(deviceType, page, t10Bytes + putNaaDesignator(identity, into, 4 + t10Bytes), into);
    }
  }
}

/** Designator "T10 vendor ID based" (SPC-5 §7.7): vendor, product, serial. Returns its length with its header. */
export function putT10Designator(
  identity: { readonly vendor: string; readonly product: string; readonly serial: string },
  into: Uint8Array,
  at: number,
): number {
  const serialBytes = Math.min(identity.serial.length, SERIAL_BYTES_MAX);
  into[at] = 0x02; // code set: ASCII
  into[at + 1] = 0x01; // association: logical unit; type: T10 vendor ID
  into[at + 2] = 0;
  into[at + 3] = T10_DESIGNATOR_PREFIX_BYTES + serialBytes;
  putAscii(into, at + 4, 8, identity.vendor);
  putAscii(into, at + 12, 16, identity.product);
  putAscii(into, at + 28, serialBytes, identity.serial);
  return 4 + T10_DESIGNATOR_PREFIX_BYTES + serialBytes;
}

/** Designator NAA 3h, locally assigned (SPC-5 §7.7): 60 bits out of vendor, product and serial. */
function putNaaDesignator(identity: UnitIdentity, into: Uint8Array, at: number): number {
  into[at] = 0x01; // code set: binary
  into[at + 1] = 0x03; // association: logical unit; type: NAA
  into[at + 2] = 0;
  into[at + 3] = 8;
  const text = `${identity.vendor}\0${identity.product}\0${identity.serial}`;
  putU32(into, at + 4, (fnv1a(text, 0x811c9dc5) & 0x0fff_ffff) | 0x3000_0000);
  putU32(into, at + 8, fnv1a(text, 0x01000193));
  return 12;
}

function fnv1a(text: string, basis: number): number {
  let hash = basis;
  for (let i = 0; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  // A last mix, so that serials that differ in their last character differ in every byte.
  hash = Math.imul(hash ^ (hash >>> 16), 0x45d9f3b);
  return (hash ^ (hash >>> 13)) >>> 0;
}

export interface InquiryData {
  readonly qualifier: number;
  readonly deviceType: number;
  readonly removable: boolean;
  readonly vendor: string;
  readonly product: string;
  readonly revision: string;
}

export function parseInquiry(reply: Uint8Array): InquiryData | null {
  if (reply.length < 36) return null;
  return {
    qualifier: u8(reply, 0) >> 5,
    deviceType: u8(reply, 0) & 0x1f,
    removable: (u8(reply, 1) & 0x80) !== 0,
    vendor: ascii(reply, 8, 8),
    product: ascii(reply, 16, 16),
    revision: ascii(reply, 32, 4),
  };
}

/** Unit serial number out of VPD 80h; null where the reply is not that page. */
export function parseVpd80(reply: Uint8Array): string | null {
  if (reply.length < 4 || reply[1] !== VPD_SERIAL) return null;
  return ascii(reply, 4, Math.min(u16(reply, 2), reply.length - 4)).trim();
}

export interface Designator {
  readonly codeSet: number;
  readonly type: number;
  readonly bytes: Uint8Array;
}

/** Designators of VPD 83h, as far as the reply reaches. */
export function parseVpd83(reply: Uint8Array): Designator[] | null {
  if (reply.length < 4 || reply[1] !== VPD_DEVICE_IDENTIFICATION) return null;
  const end = Math.min(reply.length, 4 + u16(reply, 2));
  const designators: Designator[] = [];
  for (let at = 4; at + 4 <= end; at += 4 + u8(reply, at + 3)) {
    const stop = at + 4 + u8(reply, at + 3);
    if (stop > end) break;
    designators.push({
      codeSet: u8(reply, at) & 15,
      type: u8(reply, at + 1) & 15,
      bytes: reply.slice(at + 4, stop),
    });
  }
  return designators;
}
