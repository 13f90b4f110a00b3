/** @module Which bytes of a pack its heirs need, and what the rest takes up on the disk.
 *  (1) Header, footer and chunk table always stay: they say where the chunks are. The index stays, with the extra section,
 *      while another one is a difference to it.
 *  (2) Space comes free by whole blocks: what is counted before is what the file system gives back, apart from what it
 *      needs itself to keep count of holes. */
import { assert } from "../../base/assert.ts";
import { ENXIO, SEEK_DATA, SEEK_HOLE, seek } from "../../base/files.ts";
import { aligned, FOOTER_BYTES, FRAME_HEADER_BYTES } from "../archive/layout.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import type { ReadFault } from "../archive/types.ts";
import { isNeeded } from "../store/uses.ts";

/** [start, end) in pairs, ascending, disjoint. */
export type Ranges = readonly number[];

export interface Need {
  /** Chunks by number; null: all. */
  readonly chunks: Uint8Array | null;
  readonly index: boolean;
}

/** What of the file nobody needs. */
export function needlessRanges(reader: ArchiveReader, need: Need): Ranges | ReadFault {
  const table = reader.table();
  if ("kind" in table) return table;
  const { footer, sizeBytes } = reader;
  const kept: [number, number][] = [[0, reader.headerBlock.length]];
  const section = ({ offset, bytes }: { offset: number; bytes: number }) =>
    kept.push([offset, offset + bytes]);
  for (let chunk = 0; chunk < table.count; chunk++) {
    if (!isNeeded(need.chunks, chunk) || !table.has(chunk)) continue;
    const offset = table.offset(chunk);
    kept.push([offset, offset + aligned(FRAME_HEADER_BYTES + table.storedBytes(chunk))]);
  }
  section(footer.table);
  if (need.index) {
    section(footer.index);
    section(footer.extra);
  }
  kept.push([sizeBytes - FOOTER_BYTES, sizeBytes]);
  return complement(kept, sizeBytes);
}

function complement(kept: [number, number][], sizeBytes: number): Ranges {
  kept.sort(([a], [b]) => a - b);
  const ranges: number[] = [];
  let at = 0;
  for (const [start, end] of kept) {
    if (start > at) ranges.push(at, start);
    at = Math.max(at, end);
  }
  if (at < sizeBytes) ranges.push(at, sizeBytes);
  return ranges;
}

/** Where a file takes up blocks. */
export class DiskMap {
  readonly blockBytes: number;
  /** Whole blocks, ascending. */
  #data: Ranges;

  constructor(data: Ranges, blockBytes: number) {
    this.#data = data;
    this.blockBytes = blockBytes;
  }

  /** Of an open file; -errno. */
  static of(fd: number, sizeBytes: number, blockBytes: number): DiskMap | number {
    const data: number[] = [];
    let at = 0;
    while (at < sizeBytes) {
      const start = seek(fd, at, SEEK_DATA);
      if (start === -ENXIO) break;
      if (start < 0) return start;
      const end = seek(fd, start, SEEK_HOLE);
      if (end < 0) return end;
      data.push(Math.floor(start / blockBytes) * blockBytes, Math.ceil(end / blockBytes) * blockBytes);
      at = end;
    }
    return new DiskMap(data, blockBytes);
  }

  get bytes(): number {
    let sum = 0;
    for (let at = 0; at < this.#data.length; at += 2) sum += this.#end(at) - this.#start(at);
    return sum;
  }

  #start(at: number): number {
    return this.#data[at] as number;
  }

  #end(at: number): number {
    return this.#data[at + 1] as number;
  }

  /** Those of the ranges that would give back at least a block, and how many bytes they would in all. */
  worth(ranges: Ranges): { readonly ranges: Ranges; readonly bytes: number } {
    const found: number[] = [];
    let sum = 0;
    let data = 0;
    for (let at = 0; at < ranges.length; at += 2) {
      const [start, end] = this.#blocksOf(ranges, at);
      while (data < this.#data.length && this.#end(data) <= start) data += 2;
      let bytes = 0;
      for (let next = data; next < this.#data.length && this.#start(next) < end; next += 2) {
        bytes += Math.max(0, Math.min(end, this.#end(next)) - Math.max(start, this.#start(next)));
      }
      if (bytes === 0) continue;
      found.push(ranges[at] as number, ranges[at + 1] as number);
      sum += bytes;
    }
    return { ranges: found, bytes: sum };
  }

  /** They are holes from now on. */
  punch(ranges: Ranges): void {
    let data = this.#data;
    for (let at = 0; at < ranges.length; at += 2) {
      const [start, end] = this.#blocksOf(ranges, at);
      if (end > start) data = without(data, start, end);
    }
    this.#data = data;
  }

  /** The whole blocks within a range; the last block of a file counts as whole, but nobody asks for it: the footer. */
  #blocksOf(ranges: Ranges, at: number): readonly [number, number] {
    const [start, end] = [ranges[at], ranges[at + 1]];
    assert(start !== undefined && end !== undefined, "ranges come in pairs");
    const { blockBytes } = this;
    return [Math.ceil(start / blockBytes) * blockBytes, Math.floor(end / blockBytes) * blockBytes];
  }
}

function without(data: Ranges, start: number, end: number): Ranges {
  const left: number[] = [];
  for (let at = 0; at < data.length; at += 2) {
    const [from, to] = [data[at] as number, data[at + 1] as number];
    if (from < Math.min(to, start)) left.push(from, Math.min(to, start));
    if (Math.max(from, end) < to) left.push(Math.max(from, end), to);
  }
  return left;
}
