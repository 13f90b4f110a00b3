/** @module The text format of Login and Text PDUs (RFC 7143 §6.1): key=value pairs, each ended by a NUL, which may run on
 *  over several PDUs (C bit). Parsing knows no key's meaning: that is negotiate.ts. Everything here is bounded. */

export type TextPair = readonly [key: string, value: string];

export type ParsedText =
  | { readonly kind: "text"; readonly pairs: readonly TextPair[] }
  | { readonly kind: "malformed"; readonly cause: string };

export const KEY_CHARACTERS_MAX = 63;
/** Values are limited to 255 bytes, but for large binary values (CHAP) and lists: 8192 (RFC 7143 §6.1). */
export const VALUE_BYTES_MAX = 8192;
/** What one exchange may amount to over all of its PDUs. */
export const TEXT_BYTES_MAX = 65536;

const keyPattern = /^[A-Z][A-Za-z0-9.\-+@_]{0,62}$/;
const encoder = new TextEncoder();

/** Text bytes to pairs. A missing last NUL is forgiven, empty strings between NULs too. */
export function parseText(bytes: Uint8Array): ParsedText {
  if (bytes.length > TEXT_BYTES_MAX) return { kind: "malformed", cause: "text too long" };
  // Copied first: a decoder refuses views over shared memory.
  const text = Buffer.from(Uint8Array.from(bytes)).toString("utf8");
  const pairs: TextPair[] = [];
  for (const part of text.split("\0")) {
    if (part === "") continue;
    const equals = part.indexOf("=");
    if (equals < 0) return { kind: "malformed", cause: "no '=' in a key=value pair" };
    const key = part.slice(0, equals);
    if (!keyPattern.test(key))
      return { kind: "malformed", cause: `not a key: ${JSON.stringify(key.slice(0, 70))}` };
    const value = part.slice(equals + 1);
    if (value.length > VALUE_BYTES_MAX) return { kind: "malformed", cause: `value of ${key} too long` };
    pairs.push([key, value]);
  }
  return { kind: "text", pairs };
}

export function formatText(pairs: readonly TextPair[]): Uint8Array {
  return encoder.encode(pairs.map(([key, value]) => `${key}=${value}\0`).join(""));
}

/** Cuts text into data segments of at most `segmentBytes`; all but the last are sent with the C bit. */
export function splitText(text: Uint8Array, segmentBytes: number): Uint8Array[] {
  const segments: Uint8Array[] = [];
  for (let at = 0; at < text.length; at += segmentBytes) segments.push(text.subarray(at, at + segmentBytes));
  return segments.length === 0 ? [text] : segments;
}

/** Gathers the data segments of one exchange until one comes without the C bit. */
export class TextCollector {
  #parts: Uint8Array[] = [];
  #bytes = 0;

  get bytes(): number {
    return this.#bytes;
  }

  /** false: more than TEXT_BYTES_MAX; the exchange is to be given up. */
  add(segment: Uint8Array): boolean {
    if (this.#bytes + segment.length > TEXT_BYTES_MAX) return false;
    this.#bytes += segment.length;
    this.#parts.push(Uint8Array.from(segment));
    return true;
  }

  /** Parses what was gathered and starts anew. */
  take(): ParsedText {
    const all = new Uint8Array(this.#bytes);
    let at = 0;
    for (const part of this.#parts) {
      all.set(part, at);
      at += part.length;
    }
    this.clear();
    return parseText(all);
  }

  clear(): void {
    this.#parts = [];
    this.#bytes = 0;
  }
}
