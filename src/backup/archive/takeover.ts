/** @module What an unfinished archive holds, however it ended: its frames are looked for at every multiple of 16 and
 *  taken only if header, place, salt and hash are right.
 *  (1) Everything else in it becomes zero, and the file ends behind its last whole chunk: what the next run writes is
 *      then all that the file holds beside those chunks. */
import { checked, libc } from "../../base/ffi.ts";
import { ioError, writeFault } from "./faults.ts";
import { clearRange, fileBytes, readFully, willReadInOrder } from "./files.ts";
import { ChunkTable, RowList } from "./chunk-table.ts";
import { Seal, unpackFrame } from "./frame.ts";
import { readHeader } from "./header.ts";
import {
  aligned,
  CHUNK_PLAIN_BYTES_MAX,
  FRAME,
  FRAME_ALIGN_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  FRAME_MAGIC,
  FRAME_PLAIN_BYTES_MAX,
} from "./layout.ts";
import type { ArchiveHeader, OpenFault, WriteFault } from "./types.ts";
import type { FrameRoom } from "./workspace.ts";

export interface TakenOver {
  readonly kind: "takenOver";
  readonly header: ArchiveHeader;
  /** A new header may have this length at most. */
  readonly headerBytes: number;
  /** The chunks that are whole. */
  readonly chunks: ChunkTable;
  /** The same, for ArchiveFinisher.addRows. */
  readonly rows: Uint8Array;
  /** For ArchiveSpace.create. */
  readonly tail: number;
  readonly nextChunk: number;
}

const WINDOW_BYTES = 4 * 1024 * 1024;
const FRAME_BYTES_MAX = aligned(FRAME_HEADER_BYTES + CHUNK_PLAIN_BYTES_MAX);

/** Reads a partial archive from end to end and clears what is not a whole chunk of it. `fd`: open for writing. */
export function takeOver(fd: number, room: FrameRoom): TakenOver | OpenFault | WriteFault {
  const read = readHeader(fd, room);
  if (read.kind !== "header") return read;
  const sizeBytes = fileBytes(fd);
  if (sizeBytes < 0) return ioError(sizeBytes, "looking at the partial archive");
  const scan = new PartialScan(fd, room, new Seal(read.header.salt), read.block.length, sizeBytes);
  const fault = scan.run();
  if (fault !== null) return fault;
  const rows = scan.rows.take();
  const chunks = new ChunkTable();
  chunks.addRows(rows);
  return {
    kind: "takenOver",
    header: read.header,
    headerBytes: read.block.length,
    chunks,
    rows,
    tail: scan.tail,
    nextChunk: chunks.count,
  };
}

/** What is left of a takeover once the chunks that nobody refers to are gone. */
export type Kept = Pick<TakenOver, "rows" | "tail" | "nextChunk"> & { readonly kind: "kept" };

/** Gives the room of chunks back that the next run has no use for: else each interruption would leave what was read of
 *  large files, and of changed ones, in the archive for good. `fd` as for takeOver(). */
export function dropUnused(
  fd: number,
  room: FrameRoom,
  taken: TakenOver,
  isUsed: (chunk: number) => boolean,
): Kept | WriteFault {
  const { workspace, plainAt } = room;
  const { chunks, headerBytes } = taken;
  const rows = new RowList();
  let nextChunk = 0;
  const places: { from: number; to: number }[] = [];
  for (let chunk = 0; chunk < chunks.count; chunk++) {
    if (!chunks.has(chunk) || !isUsed(chunk)) continue;
    const [offset, storedBytes] = [chunks.offset(chunk), chunks.storedBytes(chunk)];
    rows.add(chunk, offset, storedBytes, chunks.plainBytes(chunk), chunks.hash(chunk));
    places.push({ from: offset, to: offset + aligned(FRAME_HEADER_BYTES + storedBytes) });
    nextChunk = chunk + 1;
  }
  // Several threads wrote them: not in the order of their numbers.
  places.sort((a, b) => a.from - b.from);
  let tail = headerBytes;
  for (const { from, to } of places) {
    const fault =
      from === tail ? null : clearRange(workspace, plainAt, FRAME_PLAIN_BYTES_MAX, fd, tail, from - tail);
    if (fault !== null) return fault;
    tail = to;
  }
  const cut = checked(libc.ftruncate(fd, tail));
  if (cut < 0) return writeFault(cut, "cutting the partial archive");
  return { kind: "kept", rows: rows.take(), tail, nextChunk };
}

class PartialScan {
  readonly rows = new RowList();
  /** End of the last whole chunk's frame. */
  tail: number;
  readonly #fd: number;
  readonly #room: FrameRoom;
  readonly #seal: Seal;
  readonly #sizeBytes: number;
  readonly #seen = new Set<number>();

  constructor(fd: number, room: FrameRoom, seal: Seal, from: number, sizeBytes: number) {
    this.#fd = fd;
    this.#room = room;
    this.#seal = seal;
    this.tail = from;
    this.#sizeBytes = sizeBytes;
  }

  run(): OpenFault | WriteFault | null {
    const { workspace, storedAt } = this.#room;
    willReadInOrder(this.#fd);
    let offset = this.tail;
    while (offset < this.#sizeBytes) {
      const want = Math.min(WINDOW_BYTES, this.#sizeBytes - offset);
      const got = readFully(this.#fd, workspace.base + storedAt, want, offset);
      if (got < 0) return ioError(got, "reading the partial archive");
      if (got === 0) break;
      const last = offset + got >= this.#sizeBytes;
      const used = this.#window(offset, got, last);
      if (typeof used !== "number") return used;
      offset += used;
    }
    const cut = checked(libc.ftruncate(this.#fd, this.tail));
    return cut < 0 ? writeFault(cut, "cutting the partial archive") : null;
  }

  /** Takes the frames that lie wholly in the window; returns how far it came. */
  #window(windowOffset: number, windowBytes: number, last: boolean): number | WriteFault {
    const { storedAt, workspace } = this.#room;
    const { view } = workspace;
    let at = 0;
    while (at < windowBytes) {
      if (!last && at + FRAME_BYTES_MAX > windowBytes) return at;
      const whole = at + FRAME_HEADER_BYTES <= windowBytes;
      const bytes =
        whole && view.getUint32(storedAt + at, true) === FRAME_MAGIC
          ? this.#frame(windowOffset + at, storedAt + at, windowBytes - at)
          : 0;
      if (bytes > 0) {
        const fault = this.#clear(this.tail, windowOffset + at);
        if (fault !== null) return fault;
        at += bytes;
        this.tail = windowOffset + at;
      } else at += FRAME_ALIGN_BYTES;
    }
    return windowBytes;
  }

  /** Length of the whole frame at `at`, or 0. */
  #frame(offset: number, at: number, bytesMax: number): number {
    const { workspace, plainAt } = this.#room;
    const { view } = workspace;
    if (view.getUint8(at + FRAME.kind) !== FRAME_KIND.chunk) return 0;
    const storedBytes = view.getUint32(at + FRAME.storedBytes, true);
    const plainBytes = view.getUint32(at + FRAME.plainBytes, true);
    const number = view.getUint32(at + FRAME.number, true);
    const bytes = aligned(FRAME_HEADER_BYTES + storedBytes);
    if (plainBytes > CHUNK_PLAIN_BYTES_MAX || storedBytes > plainBytes || bytes > bytesMax) return 0;
    const expected = { kind: FRAME_KIND.chunk, number, offset, storedBytes, plainBytes };
    if (this.#seen.has(number) || unpackFrame(workspace, this.#seal, expected, at, plainAt) !== null)
      return 0;
    const padding = bytes - FRAME_HEADER_BYTES - storedBytes;
    if (!workspace.isZero(at + FRAME_HEADER_BYTES + storedBytes, padding)) return 0;
    this.#seen.add(number);
    this.rows.add(number, offset, storedBytes, plainBytes, view.getBigUint64(at + FRAME.hash, true));
    return bytes;
  }

  #clear(from: number, to: number): WriteFault | null {
    if (from === to) return null;
    const { workspace, plainAt } = this.#room;
    return clearRange(workspace, plainAt, FRAME_PLAIN_BYTES_MAX, this.#fd, from, to - from);
  }
}
