/** @module READ ELEMENT STATUS data (SMC-3), encoded and parsed.
 *
 *      header      0 first element (16)  2 number (16)  5 byte count of all pages (24)
 *      page        0 type  1 PVOLTAG  2 descriptor length (16)  5 byte count of its descriptors (24)
 *      descriptor  0 address (16)  2 flags  4 ASC  5 ASCQ  9 SVALID  10 source (16)  [12 volume tag (36)]
 *                  then 4 bytes of designator header, and on pages of drives with DVCID the designator
 *
 *  Counts are those of the whole report, however short the allocation length cuts it. */
import { ascii, putAscii, putU16, putU24, u8, u16, u24 } from "../bytes.ts";
import { putT10Designator, SERIAL_BYTES_MAX, T10_DESIGNATOR_PREFIX_BYTES } from "../inquiry.ts";
import type { Element, ElementType } from "./ports.ts";

export const ELEMENT_ANY = 0;
export const ELEMENT_TRANSPORT = 1;
export const ELEMENT_STORAGE = 2;
export const ELEMENT_IMPORT_EXPORT = 3;
export const ELEMENT_TRANSFER = 4;

/** Without volume tag and designators. */
const DESCRIPTOR_BYTES = 12;
const VOLUME_TAG_BYTES = 36;
const VOLUME_IDENTIFIER_BYTES = 32;

export interface ElementStatusRequest {
  readonly type: 0 | ElementType;
  readonly first: number;
  readonly count: number;
  readonly volumeTags: boolean;
  readonly deviceIds: boolean;
}

/** Writes as much of the report as fits; returns the length of all of it. */
export function encodeElementStatus(
  elements: readonly Element[],
  request: ElementStatusRequest,
  into: Uint8Array,
): number {
  const chosen = elements
    .filter(
      (element) =>
        element.address >= request.first && (request.type === ELEMENT_ANY || element.type === request.type),
    )
    .sort((a, b) => a.address - b.address)
    .slice(0, request.count);
  let at = 8;
  for (const type of new Set(chosen.map((element) => element.type))) {
    at = putPage(
      chosen.filter((element) => element.type === type),
      type,
      request,
      into,
      at,
    );
  }
  putU16(into, 0, chosen[0]?.address ?? 0);
  putU16(into, 2, chosen.length);
  into[4] = 0;
  putU24(into, 5, at - 8);
  return at;
}

function putPage(
  elements: readonly Element[],
  type: ElementType,
  request: ElementStatusRequest,
  into: Uint8Array,
  at: number,
): number {
  const designatorBytes =
    request.deviceIds && type === ELEMENT_TRANSFER
      ? Math.max(...elements.map((element) => designatorLength(element)))
      : 0;
  const descriptorBytes = 12 + (request.volumeTags ? VOLUME_TAG_BYTES : 0) + 4 + designatorBytes;
  into[at] = type;
  into[at + 1] = request.volumeTags ? 0x80 : 0;
  putU16(into, at + 2, descriptorBytes);
  into[at + 4] = 0;
  putU24(into, at + 5, descriptorBytes * elements.length);
  let next = at + 8;
  for (const element of elements) {
    putDescriptor(element, request, descriptorBytes, into, next);
    next += descriptorBytes;
  }
  return next;
}

function designatorLength(element: Element): number {
  return element.drive === undefined
    ? 0
    : T10_DESIGNATOR_PREFIX_BYTES + Math.min(element.drive.serial.length, SERIAL_BYTES_MAX);
}

function putDescriptor(
  element: Element,
  request: ElementStatusRequest,
  bytes: number,
  into: Uint8Array,
  at: number,
): void {
  if (at >= into.length) return;
  into.fill(0, at, Math.min(at + bytes, into.length));
  putU16(into, at, element.address);
  into[at + 2] = elementFlags(element);
  into[at + 4] = element.exception?.asc ?? 0;
  into[at + 5] = element.exception?.ascq ?? 0;
  if (element.barcode !== null) {
    into[at + 9] = 0x01; // medium type: data
    if (element.source !== null) {
      into[at + 9] = 0x81; // SVALID
      putU16(into, at + 10, element.source);
    }
  }
  let next = at + 12;
  if (request.volumeTags) {
    // Volume sequence number is 0. Of an empty element the whole tag is zeros.
    if (element.barcode !== null) putAscii(into, next, VOLUME_IDENTIFIER_BYTES, element.barcode);
    next += VOLUME_TAG_BYTES;
  }
  if (request.deviceIds && element.drive !== undefined) putT10Designator(element.drive, into, next);
}

/** Byte 2: FULL, EXCEPT, ACCESS, and for import/export elements IMPEXP, EXENAB, INENAB. */
function elementFlags(element: Element): number {
  const common =
    (element.barcode !== null ? 0x01 : 0) |
    (element.exception !== undefined ? 0x04 : 0) |
    (element.accessible && element.type !== ELEMENT_TRANSPORT ? 0x08 : 0);
  if (element.type !== ELEMENT_IMPORT_EXPORT) return common;
  return common | (element.barcode !== null && element.source === null ? 0x02 : 0) | 0x30;
}

export interface ElementStatus {
  readonly type: number;
  readonly address: number;
  readonly full: boolean;
  readonly accessible: boolean;
  readonly exception: { readonly asc: number; readonly ascq: number } | null;
  readonly source: number | null;
  readonly barcode: string | null;
  /** Designator of a drive (DVCID) as text, or null: T10 vendor ID form. */
  readonly deviceId: string | null;
}

export interface ElementStatusReport {
  /** Byte count that the whole report needs, its 8 header bytes included. */
  readonly wholeBytes: number;
  /** Elements as far as the reply reaches. */
  readonly elements: readonly ElementStatus[];
}

export function parseElementStatus(reply: Uint8Array): ElementStatusReport | null {
  if (reply.length < 8) return null;
  const wholeBytes = 8 + u24(reply, 5);
  // The header's count is told as it is; what belongs to a page its own count says.
  const end = reply.length;
  const elements: ElementStatus[] = [];
  let at = 8;
  while (at + 8 <= end) {
    const type = u8(reply, at) & 15;
    const hasTags = (u8(reply, at + 1) & 0x80) !== 0;
    const hasAlternateTags = (u8(reply, at + 1) & 0x40) !== 0;
    const descriptorBytes = u16(reply, at + 2);
    if (descriptorBytes < DESCRIPTOR_BYTES) return { wholeBytes, elements };
    // tgtd cuts its report 8 bytes short: of the last descriptor, what it is read for is enough.
    const neededBytes = Math.min(descriptorBytes, DESCRIPTOR_BYTES + (hasTags ? VOLUME_IDENTIFIER_BYTES : 0));
    const pageEnd = at + 8 + u24(reply, at + 5);
    for (
      let next = at + 8;
      next + descriptorBytes <= pageEnd && next + neededBytes <= end;
      next += descriptorBytes
    ) {
      elements.push(
        parseDescriptor(reply.subarray(next, next + descriptorBytes), type, hasTags, hasAlternateTags),
      );
    }
    at = pageEnd;
  }
  return { wholeBytes, elements };
}

function parseDescriptor(
  bytes: Uint8Array,
  type: number,
  hasTags: boolean,
  hasAlternateTags: boolean,
): ElementStatus {
  const flags = u8(bytes, 2);
  const full = (flags & 1) !== 0;
  const tag = hasTags ? ascii(bytes, 12, VOLUME_IDENTIFIER_BYTES) : "";
  const idAt = 12 + (hasTags ? VOLUME_TAG_BYTES : 0) + (hasAlternateTags ? VOLUME_TAG_BYTES : 0);
  const idBytes = u8(bytes, idAt + 3);
  return {
    type,
    address: u16(bytes, 0),
    full,
    accessible: (flags & 8) !== 0,
    exception: flags & 4 ? { asc: u8(bytes, 4), ascq: u8(bytes, 5) } : null,
    source: u8(bytes, 9) & 0x80 ? u16(bytes, 10) : null,
    barcode: tag === "" ? null : tag,
    deviceId: idBytes === 0 ? null : ascii(bytes, idAt + 4, idBytes),
  };
}
