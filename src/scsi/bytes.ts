/** @module Big-endian fields as SCSI draws them. Numbers only: 64-bit fields are exact to 2^53, which no tape reaches.
 *  Writing past the end of an array is ignored (a truncated reply), reading past it gives 0. */

export function u8(from: Uint8Array, at: number): number {
  return from[at] ?? 0;
}

export function u16(from: Uint8Array, at: number): number {
  return (u8(from, at) << 8) | u8(from, at + 1);
}

export function u24(from: Uint8Array, at: number): number {
  return (u8(from, at) << 16) | (u8(from, at + 1) << 8) | u8(from, at + 2);
}

export function u32(from: Uint8Array, at: number): number {
  return ((u8(from, at) << 24) | (u8(from, at + 1) << 16) | (u8(from, at + 2) << 8) | u8(from, at + 3)) >>> 0;
}

export function u64(from: Uint8Array, at: number): number {
  return u32(from, at) * 0x1_0000_0000 + u32(from, at + 4);
}

/** Two's complement, 24 bits. */
export function i24(from: Uint8Array, at: number): number {
  return (u24(from, at) << 8) >> 8;
}

/** Two's complement, 64 bits. */
export function i64(from: Uint8Array, at: number): number {
  return (u32(from, at) | 0) * 0x1_0000_0000 + u32(from, at + 4);
}

export function putU16(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 8;
  into[at + 1] = value;
}

export function putU24(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 16;
  into[at + 1] = value >>> 8;
  into[at + 2] = value;
}

export function putU32(into: Uint8Array, at: number, value: number): void {
  into[at] = value >>> 24;
  into[at + 1] = value >>> 16;
  into[at + 2] = value >>> 8;
  into[at + 3] = value;
}

/** Negative values come out as two's complement. */
export function putU64(into: Uint8Array, at: number, value: number): void {
  putU32(into, at, Math.floor(value / 0x1_0000_0000));
  putU32(into, at + 4, value);
}

/** Writes `bytes` bytes of `text`, left-aligned, padded with spaces; characters outside printable ASCII become "?". */
export function putAscii(into: Uint8Array, at: number, bytes: number, text: string): void {
  for (let i = 0; i < bytes; i++) {
    const code = i < text.length ? text.charCodeAt(i) : 0x20;
    into[at + i] = code >= 0x20 && code < 0x7f ? code : 0x3f;
  }
}

/** Reads an ASCII field, without the padding (spaces, zeros) at its end. */
export function ascii(from: Uint8Array, at: number, bytes: number): string {
  let end = Math.min(at + bytes, from.length);
  while (end > at && (from[end - 1] === 0x20 || from[end - 1] === 0)) end--;
  let text = "";
  for (let i = at; i < end; i++) text += String.fromCharCode(from[i]!);
  return text;
}
