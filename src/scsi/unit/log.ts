/** @module Log pages (SPC-5 §7.3): a page is a list of parameters, told apart by their codes.
 *
 *      page       0 DS SPF page code   1 subpage   2 length (16)   4 parameters...
 *      parameter  0 code (16)          2 control   3 length        4 value
 */
import { ascii, putAscii, putU16, putU32, putU64, u8, u16, u32, u64 } from "../bytes.ts";

export const LOG_SUPPORTED_PAGES = 0x00;
export const LOG_WRITE_ERRORS = 0x02;
export const LOG_READ_ERRORS = 0x03;
export const LOG_SEQUENTIAL_ACCESS = 0x0c;
export const LOG_DEVICE_STATUS = 0x11;
export const LOG_VOLUME_STATISTICS = 0x17;
export const LOG_TAPE_ALERT = 0x2e;
export const LOG_TAPE_CAPACITY = 0x31;

/** Control byte: a counter that does not save (TSD), a binary and an ASCII list parameter. */
const COUNTER_CONTROL = 0x20;
const BINARY_CONTROL = 0x03;
const ASCII_CONTROL = 0x01;

export interface LogParameter {
  readonly code: number;
  readonly control: number;
  readonly value: Uint8Array;
}

export interface LogPage {
  readonly code: number;
  /** Called when the page is asked for: the only place where reading may clear. */
  readonly parameters: () => readonly LogParameter[];
}

export function counter(code: number, bytes: 1 | 2 | 4 | 8, value: number): LogParameter {
  return { code, control: COUNTER_CONTROL, value: number(bytes, value) };
}

export function binary(code: number, value: Uint8Array): LogParameter {
  return { code, control: BINARY_CONTROL, value };
}

export function text(code: number, bytes: number, value: string): LogParameter {
  const field = new Uint8Array(bytes);
  putAscii(field, 0, bytes, value);
  return { code, control: ASCII_CONTROL, value: field };
}

function number(bytes: 1 | 2 | 4 | 8, value: number): Uint8Array {
  const field = new Uint8Array(bytes);
  if (bytes === 1) field[0] = value;
  else if (bytes === 2) putU16(field, 0, value);
  else if (bytes === 4) putU32(field, 0, Math.min(value, 0xffff_ffff));
  else putU64(field, 0, value);
  return field;
}

/** Writes the parameters with codes from `pointer` on; returns the whole length, -1 where there is no such parameter. */
export function encodeLogPage(page: LogPage, pointer: number, into: Uint8Array): number {
  const parameters = page.parameters();
  const wanted = parameters.filter((parameter) => parameter.code >= pointer);
  if (wanted.length === 0 && pointer !== 0) return -1;
  let at = 4;
  for (const { code, control, value } of wanted) {
    putU16(into, at, code);
    into[at + 2] = control;
    into[at + 3] = value.length;
    into.set(value, at + 4);
    at += 4 + value.length;
  }
  into[0] = page.code;
  into[1] = 0;
  putU16(into, 2, at - 4);
  return at;
}

/** Page 00h, with (subpage FFh) or without the column of subpages. */
export function encodeSupportedLogPages(
  pages: readonly LogPage[],
  withSubpages: boolean,
  into: Uint8Array,
): number {
  const codes = [LOG_SUPPORTED_PAGES, ...pages.map((page) => page.code)];
  into[0] = withSubpages ? 0x40 : 0;
  into[1] = withSubpages ? 0xff : 0;
  let at = 4;
  for (const code of codes) {
    into[at++] = code;
    if (withSubpages) into[at++] = 0;
    if (withSubpages && code === LOG_SUPPORTED_PAGES) {
      into[at++] = code;
      into[at++] = 0xff;
    }
  }
  putU16(into, 2, at - 4);
  return at;
}

/** A log page as a device gave it: parameter code -> value bytes. */
export interface ParsedLogPage {
  readonly code: number;
  readonly subpage: number;
  readonly parameters: ReadonlyMap<number, Uint8Array>;
}

export function parseLogPage(reply: Uint8Array): ParsedLogPage | null {
  if (reply.length < 4) return null;
  const end = Math.min(reply.length, 4 + u16(reply, 2));
  const parameters = new Map<number, Uint8Array>();
  for (let at = 4; at + 4 <= end; at += 4 + u8(reply, at + 3)) {
    const stop = at + 4 + u8(reply, at + 3);
    if (stop > end) break;
    parameters.set(u16(reply, at), reply.slice(at + 4, stop));
  }
  return { code: u8(reply, 0) & 0x3f, subpage: u8(reply, 1), parameters };
}

/** A parameter's value as a number; null where the page has none or it is wider than 8 bytes. */
export function logNumber(page: ParsedLogPage, code: number): number | null {
  const value = page.parameters.get(code);
  if (value === undefined) return null;
  switch (value.length) {
    case 1:
      return u8(value, 0);
    case 2:
      return u16(value, 0);
    case 4:
      return u32(value, 0);
    case 8:
      return u64(value, 0);
    default:
      return null;
  }
}

export function logText(page: ParsedLogPage, code: number): string | null {
  const value = page.parameters.get(code);
  return value === undefined ? null : ascii(value, 0, value.length);
}

/** Flags (1..64) that a TapeAlert page shows as set. */
export function tapeAlerts(page: ParsedLogPage): number[] {
  const flags: number[] = [];
  for (const [code, value] of page.parameters) {
    if (code >= 1 && code <= 64 && (u8(value, 0) & 1) === 1) flags.push(code);
  }
  return flags;
}
