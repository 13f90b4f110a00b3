/** @module An index as frames of the archive: pages of records, then a directory that says where each page begins.
 *
 *      frame      u8 kind | part | bytes        a page longer than a frame goes on in the next: part 0, 1, 2, ...
 *      page       records, with a fresh context; in a delta: bytes of ops | ops | records
 *      directory  [entries of the base, in a delta] | entries | pages, each: first frame | records | path bytes | path
 *
 *  (1) The directory's last frame is the last frame of all.
 *  (2) `path` is that of the page's first record: a path is looked for in one page only. */
import { ByteReader, MalformedRecord } from "./varint.ts";

/** Where an index is written to: the archive stores each as one frame. */
export interface IndexSink {
  /** `plain` is at most FRAME_BYTES_MAX long and valid only until the call returns. */
  frame(plain: Uint8Array): void;
}

/** Where an index is read from. */
export interface IndexPages {
  /** How many frames there are. */
  readonly count: number;
  /** Frame `number`, plain, its hash checked (throws if it is damaged). The bytes stay as they are. */
  page(number: number): Uint8Array;
}

export const FRAME_BYTES_MAX = 256 * 1024;
/** A page ends behind the record that fills it: one page is read to find a path. */
export const PAGE_BYTES = 128 * 1024;

export const PAGE = { full: 1, fullDirectory: 2, delta: 3, deltaDirectory: 4 } as const;
export type PageKind = (typeof PAGE)[keyof typeof PAGE];

export const NOTHING = new Uint8Array(new ArrayBuffer(0));

/** What stands in frames [first, end), without their heads, and its kind. Throws MalformedRecord. */
export function joinFrames(frames: IndexPages, first: number, end: number): [number, Uint8Array] {
  const pieces: Uint8Array[] = [];
  let kind = -1;
  for (let number = first; number < end; number++) {
    const frame = frames.page(number);
    const reader = new ByteReader(frame);
    const itsKind = reader.byte();
    if (kind !== -1 && itsKind !== kind) throw new MalformedRecord("a page of two kinds");
    kind = itsKind;
    if (reader.varint() !== number - first) throw new MalformedRecord("a page whose parts are out of order");
    pieces.push(frame.subarray(reader.at));
  }
  const only = pieces[0];
  return [kind, pieces.length === 1 && only !== undefined ? only : Buffer.concat(pieces)];
}
