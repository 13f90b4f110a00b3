/** @module Which chunks of which packs a backup's index needs: bitmaps by chunk number, bit n & 7 of byte n >> 3. */
import { Entry, type EntrySource, SPAN_NUMBERS } from "../entry.ts";

export type ChunkUses = ReadonlyMap<number, Uint8Array>;

const BYTES_FIRST = 1024;

/** Reads the whole list; holes (pack 0) need nothing. */
export function usesOf(source: EntrySource): ChunkUses {
  const found = new Map<number, Uint8Array>();
  const entry = new Entry();
  let pack = 0;
  let bits: Uint8Array = new Uint8Array(0);
  while (source.next(entry)) {
    const { spans } = entry;
    for (let at = 0; at < entry.spanCount * SPAN_NUMBERS; at += SPAN_NUMBERS) {
      const owner = spans[at] as number;
      if (owner === 0) continue;
      const chunk = spans[at + 1] as number;
      // Neighbours in the tree mostly lie in the same pack.
      if (owner !== pack) {
        pack = owner;
        bits = found.get(pack) ?? new Uint8Array(0);
      }
      const byte = chunk >>> 3;
      if (byte >= bits.length) {
        const larger = new Uint8Array(Math.max(BYTES_FIRST, bits.length * 2, byte + 1));
        larger.set(bits);
        bits = larger;
        found.set(pack, bits);
      }
      bits[byte] = (bits[byte] as number) | (1 << (chunk & 7));
    }
  }
  for (const [owner, map] of found) found.set(owner, trimmed(map));
  return found;
}

function trimmed(bits: Uint8Array): Uint8Array {
  let length = bits.length;
  while (length > 0 && bits[length - 1] === 0) length--;
  return bits.slice(0, length);
}

export function isNeeded(bits: Uint8Array | null, chunk: number): boolean {
  return bits === null || ((bits[chunk >>> 3] ?? 0) & (1 << (chunk & 7))) !== 0;
}

/** Either's. */
export function united(a: Uint8Array, b: Uint8Array): Uint8Array {
  const [longer, shorter] = a.length >= b.length ? [a, b] : [b, a];
  // Not slice(): of a Buffer that is no copy.
  const result = new Uint8Array(longer);
  for (const [at, byte] of shorter.entries()) result[at] = (result[at] as number) | byte;
  return result;
}
