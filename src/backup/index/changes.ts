/** @module Which paths a backup may have changed, as against its parent: new, gone, or with other facts. So few bytes
 *  that the versions of a path are found without opening the indexes of all backups.
 *
 *  u8 1, then the sorted low halves of the paths' xxHash3, each as the varint of the difference to the one before,
 *  less one. No bytes at all: any path may have changed. */
import { ByteReader, ByteWriter, MalformedRecord } from "./varint.ts";

/** Beyond it a list is not worth its bytes: any path may have changed. */
export const CHANGES_MAX = 64 * 1024;

const LIST = 1;

/** In [0, 2^32). */
export function pathHash(path: Uint8Array, pathBytes = path.length): number {
  const hash = Bun.hash.xxHash3(pathBytes === path.length ? path : path.subarray(0, pathBytes));
  return Number(hash & 0xffff_ffffn);
}

export class ChangesWriter {
  #hashes: number[] = [];
  #tooMany = false;

  add(path: Uint8Array, pathBytes: number): void {
    if (this.#tooMany) return;
    this.#hashes.push(pathHash(path, pathBytes));
    if (this.#hashes.length > CHANGES_MAX) {
      this.#tooMany = true;
      this.#hashes = [];
    }
  }

  /** Never empty; null: too many to tell. */
  finish(): Uint8Array | null {
    if (this.#tooMany) return null;
    const sorted = Uint32Array.from(this.#hashes).sort();
    const writer = new ByteWriter();
    writer.varint(LIST);
    let previous = -1;
    for (const hash of sorted) {
      if (hash === previous) continue;
      writer.varint(hash - previous - 1);
      previous = hash;
    }
    return writer.view().slice();
  }
}

export class Changes {
  readonly #hashes: Uint32Array | null;

  /** Null or empty: any path may have changed. Throws MalformedRecord. */
  constructor(bytes: Uint8Array | null) {
    this.#hashes = bytes === null || bytes.length === 0 ? null : readHashes(bytes);
  }

  /** False: the path is in this backup just as it is in its parent, or in neither. */
  mayHold(path: Uint8Array): boolean {
    const hashes = this.#hashes;
    if (hashes === null) return true;
    const hash = pathHash(path);
    let low = 0;
    let high = hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] as number) < hash) low = middle + 1;
      else high = middle;
    }
    return hashes[low] === hash;
  }
}

function readHashes(bytes: Uint8Array): Uint32Array {
  const reader = new ByteReader(bytes);
  if (reader.varint() !== LIST) throw new MalformedRecord("a list of changed paths of an unknown kind");
  const hashes: number[] = [];
  let previous = -1;
  while (!reader.done) {
    previous += reader.varint() + 1;
    if (previous > 0xffff_ffff) throw new MalformedRecord("a hash is too large");
    hashes.push(previous);
  }
  return Uint32Array.from(hashes);
}
