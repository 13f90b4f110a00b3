/** @module Unpacked chunks of several archives, the latest kept: files of one chunk are read one after the other. One a
 *  thread, in its workspace.
 *  (1) A place that was handed out holds until as many other chunks were asked for as there are slots less one. */
import { assert } from "../../base/assert.ts";
import { damaged } from "./faults.ts";
import { CHUNK_PLAIN_BYTES_MAX, FRAME_HEADER_BYTES, PIECE_HEADER_BYTES } from "./layout.ts";
import type { ArchiveReader } from "./reader.ts";
import type { ReadFault } from "./types.ts";
import type { Workspace } from "./workspace.ts";

const SLOT_BYTES = Math.ceil((CHUNK_PLAIN_BYTES_MAX + FRAME_HEADER_BYTES) / 4096) * 4096;

/** Of its workspace, with `slots` slots. */
export function chunkCacheBytes(slots: number): number {
  return (slots + 1) * SLOT_BYTES;
}

interface Slot {
  readonly at: number;
  key: number;
  plainBytes: number;
  used: number;
}

export class ChunkCache {
  readonly #workspace: Workspace;
  readonly #storedAt: number;
  readonly #slots: Slot[] = [];
  readonly #archiveOf: (pack: number) => ArchiveReader | ReadFault;
  #clock = 0;
  #last: Slot | null = null;

  /** `areaAt`: offset of chunkCacheBytes(slots) in the workspace, a multiple of 64. `archiveOf` finds the archive that
   *  owns a pack's chunks. */
  constructor(
    workspace: Workspace,
    areaAt: number,
    slots: number,
    archiveOf: (pack: number) => ArchiveReader | ReadFault,
  ) {
    assert(slots >= 1, "a cache has a slot");
    this.#workspace = workspace;
    this.#storedAt = areaAt;
    this.#archiveOf = archiveOf;
    for (let slot = 1; slot <= slots; slot++)
      this.#slots.push({ at: areaAt + slot * SLOT_BYTES, key: -1, plainBytes: 0, used: 0 });
  }

  /** Offset in the workspace of the first byte of a data span (never a hole). */
  span(pack: number, chunk: number, offset: number, bytes: number): number | ReadFault {
    const key = pack * 2 ** 32 + chunk;
    const slot = this.#last?.key === key ? this.#last : this.#load(key, pack, chunk);
    if (!("at" in slot)) return slot;
    this.#last = slot;
    if (offset < PIECE_HEADER_BYTES || offset + bytes > slot.plainBytes)
      return damaged(`backup ${pack}, chunk ${chunk}: the index points outside of it`);
    return slot.at + offset;
  }

  #load(key: number, pack: number, chunk: number): Slot | ReadFault {
    let oldest = this.#slots[0] as Slot;
    for (const slot of this.#slots) {
      if (slot.key === key) {
        slot.used = ++this.#clock;
        return slot;
      }
      if (slot.used < oldest.used) oldest = slot;
    }
    const archive = this.#archiveOf(pack);
    if ("kind" in archive) return archive;
    oldest.key = -1;
    const got = archive.readChunk(chunk, this.#workspace, this.#storedAt, oldest.at);
    if (typeof got !== "number") return got;
    oldest.key = key;
    oldest.plainBytes = got;
    oldest.used = ++this.#clock;
    return oldest;
  }
}
