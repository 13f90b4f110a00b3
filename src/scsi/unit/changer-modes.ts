/** @module Mode pages of a medium changer (SMC-3): 1Dh where the elements are, 1Eh how the robot turns, 1Fh what may
 *  be moved where. */
import { putU16 } from "../bytes.ts";
import {
  ELEMENT_IMPORT_EXPORT,
  ELEMENT_STORAGE,
  ELEMENT_TRANSFER,
  ELEMENT_TRANSPORT,
} from "./element-status.ts";
import { type ModePage, modePage } from "./mode.ts";
import type { ChangerPort } from "./ports.ts";

export const PAGE_ELEMENT_ADDRESSES = 0x1d;
export const PAGE_TRANSPORT_GEOMETRY = 0x1e;
export const PAGE_DEVICE_CAPABILITIES = 0x1f;

/** Page 1Dh lists the types in this order. */
const LISTED = [ELEMENT_TRANSPORT, ELEMENT_STORAGE, ELEMENT_IMPORT_EXPORT, ELEMENT_TRANSFER] as const;

/** Storage, import/export and data transfer elements, as the bits of page 1Fh. */
const HOLDERS = 0x0e;

export function changerPages(port: ChangerPort): readonly ModePage[] {
  return [
    modePage(0x02, 16, {}), // Disconnect-Reconnect
    modePage(0x0a, 12, {}), // Control
    modePage(0x1c, 12, { 2: 0x08, 3: 0x03 }), // Informational Exceptions: none
    modePage(
      PAGE_ELEMENT_ADDRESSES,
      20,
      {},
      {},
      {
        refresh: (page) => {
          putAddresses(port, page.current);
          putAddresses(port, page.defaults);
        },
      },
    ),
    modePage(PAGE_TRANSPORT_GEOMETRY, 4, {}), // one transport, no rotation
    modePage(PAGE_DEVICE_CAPABILITIES, 20, {
      2: HOLDERS,
      // MOVE MEDIUM from transport, storage, import/export, data transfer
      5: HOLDERS,
      6: HOLDERS,
      7: HOLDERS,
      // EXCHANGE MEDIUM
      13: HOLDERS,
      14: HOLDERS,
      15: HOLDERS,
    }),
  ];
}

function putAddresses(port: ChangerPort, into: Uint8Array): void {
  const elements = port.elements();
  for (const [index, type] of LISTED.entries()) {
    let first = -1;
    let count = 0;
    for (const element of elements) {
      if (element.type !== type) continue;
      count++;
      if (first < 0 || element.address < first) first = element.address;
    }
    putU16(into, 2 + index * 4, Math.max(first, 0));
    putU16(into, 4 + index * 4, count);
  }
}

export interface ElementRange {
  readonly first: number;
  readonly count: number;
}

export interface ElementAddresses {
  readonly transport: ElementRange;
  readonly storage: ElementRange;
  readonly importExport: ElementRange;
  readonly transfer: ElementRange;
}

/** Reads page 1Dh at its place in a MODE SENSE reply. */
export function parseElementAddresses(page: Uint8Array): ElementAddresses | null {
  if (page.length < 18 || (page[0]! & 0x3f) !== PAGE_ELEMENT_ADDRESSES) return null;
  const range = (index: number): ElementRange => ({
    first: (page[2 + index * 4]! << 8) | page[3 + index * 4]!,
    count: (page[4 + index * 4]! << 8) | page[5 + index * 4]!,
  });
  return { transport: range(0), storage: range(1), importExport: range(2), transfer: range(3) };
}
