/** @module An archive, read at any place: header, footer, chunks by number, pages of the index.
 *  (1) Nothing is handed out that was not checked against its hash.
 *  (2) A damaged chunk table costs nothing: where its chunks lie is found by looking for them.
 *  (3) Opening reads header and footer alone; chunk table and index are read as they are needed. */
import { assert } from "../../base/assert.ts";
import { libc, O_RDONLY, openFile } from "../../base/ffi.ts";
import { decodeExtra } from "./extra.ts";
import { damaged, ioError } from "./faults.ts";
import { fileBytes, readFully } from "./files.ts";
import { decodeFooter } from "./footer.ts";
import { frameName, readFrame, Seal } from "./frame.ts";
import { ChunkTable, RowList } from "./chunk-table.ts";
import { scanFrames } from "./frame-scan.ts";
import { readHeader } from "./header.ts";
import {
  aligned,
  CHUNK_PLAIN_BYTES_MAX,
  FOOTER_BYTES,
  FRAME,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  type FrameKind,
  ROW_BYTES,
  TABLE_FRAME_ROWS,
} from "./layout.ts";
import {
  type ArchiveExtra,
  ArchiveDamaged,
  type ArchiveFooter,
  type ArchiveHeader,
  type ChunkRow,
  type OpenFault,
  type ReadFault,
  type Section,
} from "./types.ts";
import type { FrameRoom, Workspace } from "./workspace.ts";

/** One frame of a section. */
interface SectionFrame {
  readonly offset: number;
  readonly storedBytes: number;
  readonly plainBytes: number;
}

const LOST: SectionFrame = { offset: 0, storedBytes: 0, plainBytes: 0 };

/** What INDEX reads. `page` throws ArchiveDamaged. */
export interface ArchivePages {
  readonly count: number;
  /** Plain bytes of page `n`: an own copy. */
  page(n: number): Uint8Array;
}

/** Opens a complete archive. `room` is the calling thread's; archives may share it. */
export function openArchive(
  path: string,
  room: FrameRoom,
): { kind: "archive"; archive: ArchiveReader } | OpenFault {
  const fd = openFile(path, O_RDONLY);
  if (fd < 0) return ioError(fd, `opening ${path}`);
  const opened = openWith(fd, path, room);
  if (opened.kind !== "archive") libc.close(fd);
  return opened;
}

function openWith(
  fd: number,
  path: string,
  room: FrameRoom,
): { kind: "archive"; archive: ArchiveReader } | OpenFault {
  const sizeBytes = fileBytes(fd);
  if (sizeBytes < 0) return ioError(sizeBytes, `looking at ${path}`);
  const read = readHeader(fd, room);
  if (read.kind !== "header") return read;
  const { header, block } = read;
  const tail = sizeBytes - FOOTER_BYTES;
  if (tail < block.length) return { kind: "incomplete", text: "the archive ends without a footer" };
  const { workspace, plainAt } = room;
  const got = readFully(fd, workspace.base + plainAt, FOOTER_BYTES, tail);
  if (got < 0) return ioError(got, "reading the archive's footer");
  const footer = decodeFooter(
    workspace.bytes.slice(plainAt, plainAt + FOOTER_BYTES),
    sizeBytes,
    block.length,
  );
  if ("kind" in footer) return footer;
  if (footer.salt !== header.salt || footer.number !== header.number)
    return damaged("header and footer are not of the same archive");
  return { kind: "archive", archive: new ArchiveReader(fd, path, sizeBytes, header, block, footer, room) };
}

export class ArchiveReader {
  readonly fd: number;
  readonly path: string;
  readonly sizeBytes: number;
  readonly header: ArchiveHeader;
  /** As it stands in the file. */
  readonly headerBlock: Uint8Array;
  readonly footer: ArchiveFooter;
  readonly seal: Seal;
  /** What had to be mended to read it (salvage.ts), in words. */
  readonly repairs: readonly string[];
  readonly #room: FrameRoom;
  #found: ChunkTable | null = null;
  readonly #sections = new Map<FrameKind, readonly SectionFrame[]>();
  readonly #tablePages: (ChunkTable | undefined)[] = [];

  constructor(
    fd: number,
    path: string,
    sizeBytes: number,
    header: ArchiveHeader,
    headerBlock: Uint8Array,
    footer: ArchiveFooter,
    room: FrameRoom,
    repairs: readonly string[] = [],
  ) {
    this.repairs = repairs;
    this.fd = fd;
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.header = header;
    this.headerBlock = headerBlock;
    this.footer = footer;
    this.seal = new Seal(header.salt);
    this.#room = room;
  }

  /** The archive's own chunks are known to indexes by this number. */
  get pack(): number {
    return this.header.number;
  }

  close(): void {
    libc.close(this.fd);
  }

  /** Where a chunk lies; null: its number was never written. */
  chunk(number: number): ChunkRow | null | ReadFault {
    if (number >= this.footer.chunks) return null;
    const page = Math.floor(number / TABLE_FRAME_ROWS);
    let rows = this.#tablePages[page];
    if (rows === undefined) {
      const plain = this.tablePage(page);
      if (!(plain instanceof Uint8Array)) return this.foundChunks().row(number);
      rows = new ChunkTable(plain);
      this.#tablePages[page] = rows;
    }
    return rows.row(number % TABLE_FRAME_ROWS);
  }

  /** TABLE_FRAME_ROWS rows of the chunk table, or what the last page has. */
  tablePage(page: number): Uint8Array | ReadFault {
    const frames = this.frames(FRAME_KIND.table);
    if ("kind" in frames) return frames;
    const plain = page < frames.length ? this.frame(FRAME_KIND.table, page) : new Uint8Array(0);
    if (!(plain instanceof Uint8Array)) return plain;
    const rows = Math.min(TABLE_FRAME_ROWS, this.footer.chunks - page * TABLE_FRAME_ROWS);
    return plain.length === rows * ROW_BYTES
      ? plain
      : damaged("the chunk table is not as long as it should be");
  }

  /** The chunks' places as their frames tell them, whatever the chunk table says. */
  foundChunks(): ChunkTable {
    if (this.#found !== null) return this.#found;
    const { workspace, storedAt } = this.#room;
    const [from, to] = [this.headerBlock.length, this.footer.table.offset];
    const rows = new RowList();
    for (const frame of scanFrames(this.fd, this.seal, workspace, storedAt, from, to)) {
      if (frame.kind !== FRAME_KIND.chunk || frame.number >= this.footer.chunks) continue;
      rows.add(frame.number, frame.offset, frame.storedBytes, frame.plainBytes, frame.hash);
    }
    this.#found = new ChunkTable();
    this.#found.addRows(rows.take());
    this.#found.grow(this.footer.chunks);
    return this.#found;
  }

  /** The whole chunk table. */
  table(): ChunkTable | ReadFault {
    const bytes = this.#whole(FRAME_KIND.table, this.footer.table);
    if (!(bytes instanceof Uint8Array)) return bytes;
    if (bytes.length !== this.footer.chunks * ROW_BYTES)
      return damaged("the chunk table is not as long as it should be");
    return new ChunkTable(bytes);
  }

  /** Reads, checks and unpacks a chunk to `plainAt` of a workspace, where CHUNK_PLAIN_BYTES_MAX are free; `storedAt`: as
   *  many and FRAME_HEADER_BYTES. Returns its plain bytes' count. */
  readChunk(number: number, workspace: Workspace, storedAt: number, plainAt: number): number | ReadFault {
    const row = this.chunk(number);
    if (row === null) return damaged(`chunk ${number} of backup ${this.pack} does not exist`);
    if ("kind" in row) return row;
    if (row.plainBytes > CHUNK_PLAIN_BYTES_MAX) return damaged(`chunk ${number}: larger than chunks are`);
    const expected = { kind: FRAME_KIND.chunk, number, ...row };
    const fault = readFrame(workspace, this.fd, this.seal, expected, storedAt, plainAt);
    if (fault !== null) return { ...fault, text: `backup ${this.pack}, ${fault.text}` };
    return row.plainBytes;
  }

  /** Pages of the index, for INDEX. */
  indexPages(): ArchivePages {
    return {
      count: this.footer.index.frames,
      page: (n) => {
        const plain = this.frame(FRAME_KIND.index, n);
        if (plain instanceof Uint8Array) return plain;
        throw new ArchiveDamaged({ ...plain, text: `backup ${this.pack}, ${plain.text}` });
      },
    };
  }

  extra(): { kind: "extra"; extra: ArchiveExtra; changes: Uint8Array } | ReadFault {
    const bytes = this.#whole(FRAME_KIND.extra, this.footer.extra);
    if (!(bytes instanceof Uint8Array)) return bytes;
    const decoded = decodeExtra(bytes);
    return decoded === null ? damaged("the extra section is malformed") : { kind: "extra", ...decoded };
  }

  /** Plain bytes of one frame of a section: an own copy. */
  frame(kind: FrameKind, number: number): Uint8Array<ArrayBuffer> | ReadFault {
    const frames = this.frames(kind);
    if (!Array.isArray(frames)) return frames as ReadFault;
    const frame = (frames as readonly SectionFrame[])[number];
    assert(frame !== undefined, `${frameName(kind, number)} exists`);
    const { workspace, storedAt, plainAt } = this.#room;
    if (frame === LOST) return damaged(`${frameName(kind, number)}: it is not where it should be`);
    const fault = readFrame(workspace, this.fd, this.seal, { kind, number, ...frame }, storedAt, plainAt);
    return fault ?? workspace.bytes.slice(plainAt, plainAt + frame.plainBytes);
  }

  /** Where the frames of a section stand, by walking over their headers. */
  frames(kind: FrameKind): readonly SectionFrame[] | ReadFault {
    const known = this.#sections.get(kind);
    if (known !== undefined) return known;
    const { table, index, extra } = this.footer;
    const section = kind === FRAME_KIND.table ? table : kind === FRAME_KIND.index ? index : extra;
    const frames = this.#walk(kind, section);
    if (Array.isArray(frames)) this.#sections.set(kind, frames);
    return frames;
  }

  #walk(kind: FrameKind, section: Section): readonly SectionFrame[] | ReadFault {
    const { workspace, storedAt } = this.#room;
    const frames: SectionFrame[] = [];
    const end = section.offset + section.bytes;
    let offset = section.offset;
    while (offset < end) {
      const name = frameName(kind, frames.length);
      const got = readFully(this.fd, workspace.base + storedAt, FRAME_HEADER_BYTES, offset);
      if (got < 0) return ioError(got, `reading ${name}`);
      if (got < FRAME_HEADER_BYTES || !this.seal.fits(workspace, storedAt, offset))
        return this.#search(kind, section);
      const storedBytes = workspace.view.getUint32(storedAt + FRAME.storedBytes, true);
      const plainBytes = workspace.view.getUint32(storedAt + FRAME.plainBytes, true);
      frames.push({ offset, storedBytes, plainBytes });
      offset += aligned(FRAME_HEADER_BYTES + storedBytes);
    }
    return offset === end && frames.length === section.frames ? frames : this.#search(kind, section);
  }

  /** The frames of a section some of which are damaged: those are of no bytes at offset 0, where no frame can be. */
  #search(kind: FrameKind, section: Section): readonly SectionFrame[] {
    const { workspace, storedAt } = this.#room;
    const frames: SectionFrame[] = Array.from({ length: section.frames }, () => LOST);
    const end = section.offset + section.bytes;
    for (const frame of scanFrames(this.fd, this.seal, workspace, storedAt, section.offset, end))
      if (frame.kind === kind && frame.number < section.frames) frames[frame.number] = frame;
    return frames;
  }

  #whole(kind: FrameKind, section: Section): Uint8Array<ArrayBuffer> | ReadFault {
    const parts: Uint8Array[] = [];
    for (let number = 0; number < section.frames; number++) {
      const plain = this.frame(kind, number);
      if (!(plain instanceof Uint8Array)) return plain;
      parts.push(plain);
    }
    return new Uint8Array(Buffer.concat(parts));
  }
}
