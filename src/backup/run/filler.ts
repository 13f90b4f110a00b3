/** @module Fills chunks: small files side by side, each behind its small header; a large file's pieces one a chunk.
 *  The data is read straight to where it is compressed from: `place` says where, `keep` makes it count.
 *  What is placed and not kept leaves no trace. */
import { assert } from "../../base/assert.ts";
import { writePieceHeader } from "../archive/chunk-writer.ts";
import { CHUNK_PLAIN_BYTES_MAX, PIECE_HEADER_BYTES } from "../archive/layout.ts";
import type { ChunkWritten, WriteFault } from "../archive/types.ts";

/** Where full chunks go. */
export interface ChunkSink {
  /** Offset in the memory of the open chunk's plain bytes; there is room for CHUNK_PLAIN_BYTES_MAX and SPARE_BYTES. */
  readonly plainAt: number;
  /** Number of the open chunk. */
  readonly chunk: number;
  /** Compresses and writes the open chunk, and opens the next. */
  flush(plainBytes: number): ChunkWritten | WriteFault;
}

/** A read may run this far past what it expects, to see a file that has grown. */
export const SPARE_BYTES = 4096;

export class ChunkFiller {
  /** Number of the backup that the chunks belong to. */
  readonly pack: number;
  readonly #sink: ChunkSink;
  readonly #view: DataView;
  #used = 0;
  /** The first fault of the sink; nothing is written after it. */
  fault: WriteFault | null = null;

  constructor(pack: number, sink: ChunkSink, memory: WebAssembly.Memory) {
    this.pack = pack;
    this.#sink = sink;
    this.#view = new DataView(memory.buffer);
  }

  /** Offset in the memory for `dataBytes` of one piece, at most PIECE_BYTES. */
  place(dataBytes: number): number {
    if (this.#used + PIECE_HEADER_BYTES + dataBytes > CHUNK_PLAIN_BYTES_MAX) this.flush();
    return this.#sink.plainAt + this.#used + PIECE_HEADER_BYTES;
  }

  /** The bytes at the last `place` count: a span may point to them. Returns the offset within the chunk. */
  keep(pathHash: number, dataBytes: number): number {
    const { plainAt } = this.#sink;
    writePieceHeader(this.#view, plainAt + this.#used, pathHash, dataBytes);
    const offset = this.#used + PIECE_HEADER_BYTES;
    this.#used = offset + dataBytes;
    assert(this.#used <= CHUNK_PLAIN_BYTES_MAX, "a chunk holds more than it can");
    return offset;
  }

  get chunk(): number {
    return this.#sink.chunk;
  }

  /** Writes the open chunk, however little is in it. */
  flush(): void {
    if (this.#used === 0) return;
    const bytes = this.#used;
    this.#used = 0;
    if (this.fault !== null) return;
    const outcome = this.#sink.flush(bytes);
    if (outcome.kind !== "written") this.fault = outcome;
  }
}
