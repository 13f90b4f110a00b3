/** @module Completes an archive whose chunks are written: chunk table, index, extra, footer. In this order:
 *
 *      begin()    chunks durable; rubbish made zero; chunk table
 *      frame()    a page of the index, as often as the index wants
 *      finish()   extra, footer; all durable
 *
 *  (1) Until finish() has succeeded the file has no footer and is nobody's backup; renaming it into its place is the
 *      store's doing.
 *  (2) The first fault stops everything; finish() tells it. The file is then as an interrupted run leaves it. */
import { assert } from "../../base/assert.ts";
import { checked, libc, pwriteFully } from "../../base/ffi.ts";
import { CODEC_IDS } from "../codec/codec.ts";
import { ChunkTable } from "./chunk-table.ts";
import { encodeExtra } from "./extra.ts";
import { writeFault } from "./faults.ts";
import { clearRange } from "./files.ts";
import { encodeFooter } from "./footer.ts";
import { packFrame, Seal, writeFrame } from "./frame.ts";
import { headerText, readHeader } from "./header.ts";
import {
  FOOTER_BYTES,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  FRAME_PLAIN_BYTES_MAX,
  type FrameKind,
  ROW_BYTES,
  TABLE_FRAME_ROWS,
} from "./layout.ts";
import type { ArchiveSpace } from "./space.ts";
import type { ArchiveExtra, ArchiveHeader, Section, WriteFault } from "./types.ts";
import type { FrameRoom } from "./workspace.ts";

const EXTRA_FRAME_BYTES = 256 * 1024;

export interface FinisherOptions {
  readonly fd: number;
  /** As it stands in the file. */
  readonly header: ArchiveHeader;
  readonly space: ArchiveSpace;
  readonly room: FrameRoom;
}

export interface Totals {
  readonly entries: number;
  readonly files: number;
  readonly finishedAtMs: number;
  readonly extra: ArchiveExtra;
  /** The changed-path filter, as INDEX writes it; may be empty. */
  readonly changes: Uint8Array;
}

export interface Finished {
  readonly kind: "finished";
  /** Size of the file. */
  readonly bytes: number;
  readonly chunks: number;
  readonly plainBytes: number;
  readonly storedBytes: number;
  readonly root: Uint8Array;
}

export class ArchiveFinisher {
  readonly #options: FinisherOptions;
  readonly #seal: Seal;
  readonly #table = new ChunkTable();
  readonly #root = new Bun.CryptoHasher("sha256");
  readonly #rubbish: number[] = [];
  #fault: WriteFault | null = null;
  #tail = 0;
  #tableSection: Section = { offset: 0, bytes: 0, frames: 0 };
  #indexFrames = 0;
  #headerText = "";
  #begun = false;

  constructor(options: FinisherOptions) {
    this.#options = options;
    this.#seal = new Seal(options.header.salt);
  }

  /** What ChunkWriter.takeRows() or a takeover gave. */
  addRows(rows: Uint8Array): void {
    this.#table.addRows(rows);
  }

  /** What ChunkWriter.takeAbandoned() gave. */
  abandon(places: readonly number[]): void {
    this.#rubbish.push(...places);
  }

  /** No chunk is written any more; every row has been added. */
  begin(): WriteFault | null {
    assert(!this.#begun, "a finisher begins once");
    this.#begun = true;
    const { fd, space, room } = this.#options;
    const { workspace, plainAt } = room;
    for (let at = 0; at < this.#rubbish.length; at += 2) {
      const offset = this.#rubbish[at] as number;
      const bytes = this.#rubbish[at + 1] as number;
      this.#fault ??= clearRange(workspace, plainAt, FRAME_PLAIN_BYTES_MAX, fd, offset, bytes);
    }
    this.#sync(libc.fdatasync, "making the chunks durable");
    const header = readHeader(fd, room);
    assert(header.kind === "header", "the header was written before the chunks");
    this.#root.update(header.block);
    this.#headerText = headerText(header.block);
    this.#table.grow(space.chunks);
    this.#tail = space.tail;
    const { bytes } = this.#table;
    const step = TABLE_FRAME_ROWS * ROW_BYTES;
    const offset = this.#tail;
    let frames = 0;
    for (let at = 0; at < bytes.length; at += step)
      this.#write(FRAME_KIND.table, frames++, bytes.subarray(at, at + step));
    this.#tableSection = { offset, bytes: this.#tail - offset, frames };
    return this.#fault;
  }

  /** IndexSink: one page. */
  frame(plain: Uint8Array): void {
    assert(this.#begun, "the index follows the chunk table");
    this.#write(FRAME_KIND.index, this.#indexFrames++, plain);
  }

  finish(totals: Totals): Finished | WriteFault {
    assert(this.#begun, "begin() goes before");
    const { fd, header } = this.#options;
    const indexOffset = this.#tableSection.offset + this.#tableSection.bytes;
    const index = { offset: indexOffset, bytes: this.#tail - indexOffset, frames: this.#indexFrames };
    const extraBytes = encodeExtra(totals.extra, totals.changes, this.#headerText);
    const extraOffset = this.#tail;
    let frames = 0;
    for (let at = 0; at < extraBytes.length; at += EXTRA_FRAME_BYTES)
      this.#write(FRAME_KIND.extra, frames++, extraBytes.subarray(at, at + EXTRA_FRAME_BYTES));
    const root = new Uint8Array(this.#root.digest());
    const { plainBytes, storedBytes } = this.#sums();
    this.#writeFooter(
      encodeFooter({
        number: header.number,
        salt: header.salt,
        table: this.#tableSection,
        index,
        extra: { offset: extraOffset, bytes: this.#tail - extraOffset, frames },
        entries: totals.entries,
        chunks: this.#table.count,
        files: totals.files,
        plainBytes,
        storedBytes,
        finishedAtMs: totals.finishedAtMs,
        root,
      }),
    );
    // A partial that was taken over may be longer than what it became.
    const bytes = this.#tail + FOOTER_BYTES;
    if (this.#fault === null) this.#check(libc.ftruncate(fd, bytes), "setting the archive's length");
    this.#sync(libc.fsync, "making the archive durable");
    if (this.#fault !== null) return this.#fault;
    return { kind: "finished", bytes, chunks: this.#table.count, plainBytes, storedBytes, root };
  }

  #sums(): { plainBytes: number; storedBytes: number } {
    let [plainBytes, storedBytes] = [0, 0];
    for (let number = 0; number < this.#table.count; number++) {
      plainBytes += this.#table.plainBytes(number);
      storedBytes += this.#table.storedBytes(number);
    }
    return { plainBytes, storedBytes };
  }

  #write(kind: FrameKind, number: number, plain: Uint8Array): void {
    assert(plain.length <= FRAME_PLAIN_BYTES_MAX, "a frame holds at most FRAME_PLAIN_BYTES_MAX");
    this.#root.update(plain as Uint8Array<ArrayBuffer>);
    if (this.#fault !== null) return;
    const { fd, header, room } = this.#options;
    const { workspace } = room;
    const frameAt = room.plainAt - FRAME_HEADER_BYTES;
    workspace.bytes.set(plain, room.plainAt);
    const draft = packFrame(workspace, {
      kind,
      codec: CODEC_IDS[header.codec],
      number,
      frameAt,
      packedAt: room.storedAt,
      plainBytes: plain.length,
    });
    this.#fault = writeFrame(workspace, fd, this.#seal, draft, this.#tail);
    this.#tail += draft.bytes;
  }

  #writeFooter(footer: Uint8Array): void {
    if (this.#fault !== null) return;
    const { fd, room } = this.#options;
    const { workspace, plainAt } = room;
    workspace.bytes.set(footer, plainAt);
    const put = pwriteFully(fd, workspace.base + plainAt, FOOTER_BYTES, this.#tail);
    if (put < 0) this.#fault = writeFault(put, "writing the archive's footer");
  }

  #sync(call: (fd: number) => number, doing: string): void {
    if (this.#fault === null) this.#check(call(this.#options.fd), doing);
  }

  #check(result: number, doing: string): void {
    const value = checked(result);
    if (value < 0) this.#fault = writeFault(value, doing);
  }
}
