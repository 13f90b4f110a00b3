/** @module Writes chunks into an archive that other Workers write into as well. The caller fills plain bytes (pieces:
 *  8-byte header, data) at `plainAt` of its own memory and flushes.
 *  (1) A place is taken only when the chunk is packed, so that nothing is reserved too large; a number that is taken and
 *      never flushed is a row of zeros in the table.
 *  (2) A place at which writing failed is used again by the next flush if its chunk is as large, else it is given up:
 *      `takeAbandoned()` tells, and the finisher makes it zero. */
import { CHUNK_PLAIN_BYTES_MAX, FRAME_HEADER_BYTES, FRAME_KIND, PIECE, PIECE_MAGIC } from "./layout.ts";
import { assert } from "../../base/assert.ts";
import type { Codec } from "../codec/codec.ts";
import { RowList } from "./chunk-table.ts";
import { packFrame, Seal, writeFrame } from "./frame.ts";
import type { ArchiveSpace } from "./space.ts";
import type { ChunkWritten, WriteFault } from "./types.ts";
import type { Workspace } from "./workspace.ts";

/** Header, plain bytes, and what a reader of a growing file may put behind them. */
const AREA_BYTES = (Math.ceil((FRAME_HEADER_BYTES + CHUNK_PLAIN_BYTES_MAX) / 4096) + 1) * 4096;

/** Of its caller's memory, for one writer. */
export const CHUNK_WRITER_BYTES: number = 2 * AREA_BYTES;

export interface ChunkWriterOptions {
  readonly fd: number;
  readonly workspace: Workspace;
  /** Offset of CHUNK_WRITER_BYTES in the workspace, a multiple of 64. */
  readonly areaAt: number;
  readonly codec: Codec["id"];
  readonly space: ArchiveSpace;
  /** The header's. */
  readonly salt: bigint;
}

interface Place {
  readonly offset: number;
  readonly bytes: number;
}

export class ChunkWriter {
  /** Where the caller puts a chunk's plain bytes. */
  readonly plainAt: number;
  /** How many it may put there: CHUNK_PLAIN_BYTES_MAX; 4096 more are free behind them, and lost at each flush. */
  readonly room: number = CHUNK_PLAIN_BYTES_MAX;
  readonly #options: ChunkWriterOptions;
  readonly #seal: Seal;
  readonly #rows = new RowList();
  #place: Place | null = null;
  #number = -1;
  #abandoned: number[] = [];

  constructor(options: ChunkWriterOptions) {
    this.#options = options;
    this.plainAt = options.areaAt + FRAME_HEADER_BYTES;
    this.#seal = new Seal(options.salt);
  }

  /** Number of the chunk that is being filled, for the spans that will point into it. */
  get chunk(): number {
    if (this.#number < 0) this.#number = this.#options.space.takeChunk();
    return this.#number;
  }

  /** Packs and writes [plainAt, plainAt + plainBytes). After a fault the same bytes may be flushed again (they are still
   *  there), or others. */
  flush(plainBytes: number): ChunkWritten | WriteFault {
    assert(plainBytes > 0 && plainBytes <= this.room, "a chunk has 1 to CHUNK_PLAIN_BYTES_MAX bytes");
    const { workspace, areaAt, fd, space, codec } = this.#options;
    const number = this.chunk;
    const draft = packFrame(workspace, {
      kind: FRAME_KIND.chunk,
      codec,
      number,
      frameAt: areaAt,
      packedAt: areaAt + AREA_BYTES,
      plainBytes,
    });
    if (this.#place !== null && this.#place.bytes !== draft.bytes) this.#giveUp();
    this.#place ??= { offset: space.take(draft.bytes), bytes: draft.bytes };
    const { offset } = this.#place;
    const fault = writeFrame(workspace, fd, this.#seal, draft, offset);
    if (fault !== null) return fault;
    const hash = workspace.view.getBigUint64(draft.at + 24, true);
    this.#rows.add(number, offset, draft.storedBytes, plainBytes, hash);
    this.#place = null;
    this.#number = -1;
    return { kind: "written", chunk: number, storedBytes: draft.storedBytes };
  }

  /** Rows for ArchiveFinisher.addRows: the chunks written since the last call. */
  takeRows(): Uint8Array {
    return this.#rows.take();
  }

  /** [offset, bytes]... of places that hold rubbish, for ArchiveFinisher.abandon. The last, before the writer ends. */
  takeAbandoned(): number[] {
    this.#giveUp();
    const abandoned = this.#abandoned;
    this.#abandoned = [];
    return abandoned;
  }

  #giveUp(): void {
    if (this.#place !== null) this.#abandoned.push(this.#place.offset, this.#place.bytes);
    this.#place = null;
  }
}

/** Writes the small header in front of a piece's data (TREE-08). `pathHash`: see `pathHash16`. */
export function writePieceHeader(view: DataView, at: number, pathHash: number, dataBytes: number): void {
  view.setUint16(at + PIECE.magic, PIECE_MAGIC, true);
  view.setUint16(at + PIECE.pathHash, pathHash, true);
  view.setUint32(at + PIECE.dataBytes, dataBytes, true);
}

/** Low 16 bits of the xxHash3 of a path (as in Entry: without the leading slash). */
export function pathHash16(path: Uint8Array): number {
  return Number(BigInt(Bun.hash.xxHash3(path as Uint8Array<ArrayBuffer>)) & 0xffffn);
}
