/** @module Which paths a backup may have changed, as against its parent: new, gone, or with other facts. So few bytes
 *  that the versions of a path are found without opening the indexes of all backups.
 *
 *  The sorted low halves of the paths' xxHash3, each as the varint of the difference to the one before, less one. */
import { ByteReader, ByteWriter, MalformedRecord } from "./varint.ts";

/** Beyond it a list is not worth its bytes: any path may have changed. */
export const CHANGES_MAX = 64 * 1024;

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

  /** Empty: no path; null: too many to tell. */
  finish(): Uint8Array | null {
    if (this.#tooMany) return null;
    const sorted = Uint32Array.from(this.#hashes).sort();
    const writer = new ByteWriter();
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

  /** Null: any path may have changed. Throws MalformedRecord. */
  constructor(bytes: Uint8Array | null) {
    this.#hashes = bytes === null ? null : readHashes(bytes);
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
  const hashes: number[] = [];
  let previous = -1;
  while (!reader.done) {
    previous += reader.varint() + 1;
    if (previous > 0xffff_ffff) throw new MalformedRecord("a hash is too large");
    hashes.push(previous);
  }
  return Uint32Array.from(hashes);
}

/** As the archive keeps the list: a byte 1 before it; nothing at all: any path may have changed. */
export function packChanges(changes: Uint8Array | null): Uint8Array {
  if (changes === null) return new Uint8Array(0);
  const packed = new Uint8Array(1 + changes.length);
  packed[0] = 1;
  packed.set(changes, 1);
  return packed;
}

/** The list as `Changes` takes it. */
export function unpackChanges(packed: Uint8Array): Uint8Array | null {
  return packed[0] === 1 ? packed.subarray(1) : null;
}
