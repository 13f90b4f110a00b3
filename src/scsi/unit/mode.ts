/** @module Mode parameters (SPC-5 §7.5): header, block descriptor and pages, sensed and selected.
 *  (1) MODE SELECT is all or nothing: a list is checked whole before any of it takes effect.
 *  (2) A bit that is not changeable must come back as it is, else 26h/00h with its place in the list. */
import { putU16, u16, u24 } from "../bytes.ts";
import type { Sense } from "../sense.ts";
import { invalidFieldInParameterList, parameterListLengthError } from "../senses.ts";

export const ALL_PAGES = 0x3f;
export const ALL_SUBPAGES = 0xff;

export type PageControl = 0 | 1 | 2 | 3;
export const CURRENT: PageControl = 0;
export const CHANGEABLE: PageControl = 1;
export const DEFAULT: PageControl = 2;
export const SAVED: PageControl = 3;

/** A mode page in page_0 format, with its two header bytes. */
export interface ModePage {
  readonly code: number;
  readonly defaults: Uint8Array;
  readonly changeable: Uint8Array;
  readonly current: Uint8Array;
  /** Brings fields that follow the device (capacity, geometry) up to date in `current` and `defaults`. */
  readonly refresh?: (page: ModePage) => void;
  /** Checks the values of changeable fields: offset of the wrong byte within the page, or -1. */
  readonly check?: (bytes: Uint8Array) => number;
}

/** `fields`: offset -> value; `changeable`: offset -> mask. `bytes` is the whole page's length. */
export function modePage(
  code: number,
  bytes: number,
  fields: Readonly<Record<number, number>>,
  changeable: Readonly<Record<number, number>> = {},
  hooks: Pick<ModePage, "refresh" | "check"> = {},
): ModePage {
  const defaults = new Uint8Array(bytes);
  const mask = new Uint8Array(bytes);
  defaults[0] = mask[0] = code;
  defaults[1] = mask[1] = bytes - 2;
  for (const [at, value] of Object.entries(fields)) defaults[Number(at)] = value;
  for (const [at, value] of Object.entries(changeable)) mask[Number(at)] = value;
  return { code, defaults, changeable: mask, current: defaults.slice(), ...hooks };
}

/** What surrounds the pages. */
export interface ModeHeader {
  mediumType: number;
  deviceSpecific: number;
  /** Eight bytes, or null where the unit has none (or DBD asked for none). */
  blockDescriptor: Uint8Array | null;
}

/** Pages that a MODE SENSE asks for; null where there is no such page. */
export function selectPages(
  pages: readonly ModePage[],
  code: number,
  subpage: number,
): readonly ModePage[] | null {
  if (subpage !== 0 && subpage !== ALL_SUBPAGES) return null;
  if (code === ALL_PAGES) return pages;
  const found = pages.filter((page) => page.code === code);
  return found.length === 0 ? null : found;
}

/** Writes the whole reply of MODE SENSE (6 or 10); returns its length. */
export function encodeModeSense(
  ten: boolean,
  header: ModeHeader,
  pages: readonly ModePage[],
  control: PageControl,
  into: Uint8Array,
): number {
  const headerBytes = ten ? 8 : 4;
  into.fill(0, 0, headerBytes);
  let at = headerBytes;
  if (header.blockDescriptor !== null) {
    into.set(header.blockDescriptor, at);
    at += header.blockDescriptor.length;
  }
  for (const page of pages) {
    page.refresh?.(page);
    into.set(
      control === CHANGEABLE ? page.changeable : control === DEFAULT ? page.defaults : page.current,
      at,
    );
    at += page.current.length;
  }
  const descriptorBytes = header.blockDescriptor?.length ?? 0;
  if (ten) {
    putU16(into, 0, at - 2);
    into[2] = header.mediumType;
    into[3] = header.deviceSpecific;
    putU16(into, 6, descriptorBytes);
  } else {
    into[0] = at - 1;
    into[1] = header.mediumType;
    into[2] = header.deviceSpecific;
    into[3] = descriptorBytes;
  }
  return at;
}

export interface ModeChange {
  readonly page: ModePage;
  readonly bytes: Uint8Array;
}

export type ModeSelection =
  | { kind: "empty" }
  | {
      kind: "accepted";
      deviceSpecific: number;
      /** A copy; null: none was sent. */
      blockDescriptor: Uint8Array | null;
      /** Where the block descriptor began in the list. */
      blockDescriptorAt: number;
      changes: readonly ModeChange[];
    }
  | { kind: "refused"; sense: Sense };

function refused(sense: Sense): ModeSelection {
  return { kind: "refused", sense };
}

/** Checks a MODE SELECT parameter list against the pages. Nothing is changed yet. */
export function parseModeSelect(
  ten: boolean,
  list: Uint8Array,
  pages: readonly ModePage[],
  takesBlockDescriptor: boolean,
): ModeSelection {
  if (list.length === 0) return { kind: "empty" };
  const headerBytes = ten ? 8 : 4;
  if (list.length < headerBytes) return refused(parameterListLengthError);
  const descriptorBytes = ten ? u16(list, 6) : list[3]!;
  if (descriptorBytes !== 0 && (descriptorBytes !== 8 || !takesBlockDescriptor)) {
    return refused(invalidFieldInParameterList(ten ? 6 : 3));
  }
  if (list.length < headerBytes + descriptorBytes) return refused(parameterListLengthError);
  const changes: ModeChange[] = [];
  let at = headerBytes + descriptorBytes;
  while (at < list.length) {
    const checked = checkPage(list, at, pages);
    if ("key" in checked) return refused(checked);
    changes.push(checked);
    at += checked.bytes.length;
  }
  return {
    kind: "accepted",
    deviceSpecific: ten ? list[3]! : list[2]!,
    blockDescriptor: descriptorBytes === 0 ? null : list.slice(headerBytes, headerBytes + 8),
    blockDescriptorAt: headerBytes,
    changes,
  };
}

function checkPage(list: Uint8Array, at: number, pages: readonly ModePage[]): ModeChange | Sense {
  if (list[at]! & 0x40) return invalidFieldInParameterList(at, 6); // no page has subpages
  const page = pages.find((candidate) => candidate.code === (list[at]! & 0x3f));
  if (page === undefined) return invalidFieldInParameterList(at, 5);
  if (at + 2 > list.length) return parameterListLengthError;
  if (list[at + 1] !== page.current.length - 2) return invalidFieldInParameterList(at + 1);
  if (at + page.current.length > list.length) return parameterListLengthError;
  page.refresh?.(page);
  const bytes = list.slice(at, at + page.current.length);
  bytes[0] = page.code; // PS is reserved here
  for (let i = 2; i < bytes.length; i++) {
    const wrong = (bytes[i]! ^ page.current[i]!) & ~page.changeable[i]!;
    if (wrong !== 0) return invalidFieldInParameterList(at + i, 31 - Math.clz32(wrong));
  }
  const badAt = page.check?.(bytes) ?? -1;
  return badAt < 0 ? { page, bytes } : invalidFieldInParameterList(at + badAt);
}

/** A MODE SENSE reply taken apart, as far as it reaches. */
export interface ParsedModes {
  readonly mediumType: number;
  readonly deviceSpecific: number;
  /** Block length of the block descriptor; null: none came. */
  readonly blockBytes: number | null;
  readonly densityCode: number | null;
  /** Page code -> the page with its header. */
  readonly pages: ReadonlyMap<number, Uint8Array>;
}

export function parseModeSense(ten: boolean, reply: Uint8Array): ParsedModes | null {
  const headerBytes = ten ? 8 : 4;
  if (reply.length < headerBytes) return null;
  const end = Math.min(reply.length, ten ? 2 + u16(reply, 0) : 1 + reply[0]!);
  const descriptorBytes = ten ? u16(reply, 6) : reply[3]!;
  const hasDescriptor = descriptorBytes >= 8 && headerBytes + 8 <= end;
  const pages = new Map<number, Uint8Array>();
  let at = headerBytes + descriptorBytes;
  while (at + 2 <= end) {
    const stop = at + 2 + reply[at + 1]!;
    if (stop > end) break;
    pages.set(reply[at]! & 0x3f, reply.slice(at, stop));
    at = stop;
  }
  return {
    mediumType: reply[ten ? 2 : 1]!,
    deviceSpecific: reply[ten ? 3 : 2]!,
    blockBytes: hasDescriptor ? u24(reply, headerBytes + 5) : null,
    densityCode: hasDescriptor ? reply[headerBytes]! : null,
    pages,
  };
}
