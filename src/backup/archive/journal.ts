/** @module What an unfinished run knows of the files it is done with: batches of records, appended beside its partial
 *  archive.
 *
 *      0   16  magic               24   ...  batches, each: u32 bytes | u32 zero | u64 xxHash3 of the bytes | bytes
 *      16   8  salt of the archive
 *
 *  (1) It is a help, not the truth: reading ends before the first batch that is torn, and who reads checks that the
 *      chunks which a record names are really there (takeover.ts). So nothing in it needs to be made durable. */
import { assert } from "../../base/assert.ts";
import {
  checked,
  libc,
  O_CREAT,
  O_RDONLY,
  O_RDWR,
  openFile,
  preadFully,
  pwriteFully,
} from "../../base/ffi.ts";
import { damaged, ioError, writeFault } from "./faults.ts";
import { fileBytes } from "./files.ts";
import { FRAME_PLAIN_BYTES_MAX, JOURNAL_MAGIC, MAGIC_BYTES } from "./layout.ts";
import type { ReadFault, WriteFault } from "./types.ts";
import type { FrameRoom } from "./workspace.ts";

const HEAD_BYTES = 24;
const BATCH_HEAD_BYTES = 16;

export class JournalWriter {
  readonly #fd: number;
  readonly #room: FrameRoom;
  #tail: number;

  private constructor(fd: number, room: FrameRoom, tail: number) {
    this.#fd = fd;
    this.#room = room;
    this.#tail = tail;
  }

  /** An empty journal for the archive of this salt; an older one at the path is gone. */
  static create(path: string, salt: bigint, room: FrameRoom): JournalWriter | WriteFault {
    const fd = openFile(path, O_RDWR | O_CREAT);
    if (fd < 0) return writeFault(fd, `creating ${path}`);
    const { workspace, plainAt } = room;
    workspace.bytes.set(Buffer.from(JOURNAL_MAGIC, "latin1"), plainAt);
    workspace.view.setBigUint64(plainAt + MAGIC_BYTES, salt, true);
    const cut = checked(libc.ftruncate(fd, 0));
    const put = cut < 0 ? cut : pwriteFully(fd, workspace.base + plainAt, HEAD_BYTES, 0);
    if (put >= 0) return new JournalWriter(fd, room, HEAD_BYTES);
    libc.close(fd);
    return writeFault(put, `creating ${path}`);
  }

  /** Goes on behind what `readJournal` found good. */
  static resume(path: string, goodBytes: number, room: FrameRoom): JournalWriter | WriteFault {
    const fd = openFile(path, O_RDWR);
    if (fd < 0) return writeFault(fd, `opening ${path}`);
    const cut = checked(libc.ftruncate(fd, goodBytes));
    if (cut >= 0) return new JournalWriter(fd, room, goodBytes);
    libc.close(fd);
    return writeFault(cut, `cutting ${path}`);
  }

  append(batch: Uint8Array): WriteFault | null {
    assert(batch.length <= FRAME_PLAIN_BYTES_MAX - BATCH_HEAD_BYTES, "a batch fits in a frame room");
    const { workspace, plainAt } = this.#room;
    const { view, bytes } = workspace;
    bytes.set(batch, plainAt + BATCH_HEAD_BYTES);
    view.setUint32(plainAt, batch.length, true);
    view.setUint32(plainAt + 4, 0, true);
    view.setBigUint64(plainAt + 8, workspace.hash(plainAt + BATCH_HEAD_BYTES, batch.length), true);
    const put = pwriteFully(this.#fd, workspace.base + plainAt, BATCH_HEAD_BYTES + batch.length, this.#tail);
    if (put < 0) return writeFault(put, "writing the run's journal");
    this.#tail += put;
    return null;
  }

  close(): void {
    libc.close(this.#fd);
  }
}

export interface JournalRead {
  readonly kind: "journal";
  readonly salt: bigint;
  /** Own copies, in the order of writing. */
  readonly batches: readonly Uint8Array[];
  /** Length of what is good. */
  readonly goodBytes: number;
}

export function readJournal(path: string, room: FrameRoom): JournalRead | ReadFault {
  const fd = openFile(path, O_RDONLY);
  if (fd < 0) return ioError(fd, `opening ${path}`);
  const sizeBytes = fileBytes(fd);
  const read = sizeBytes < 0 ? ioError(sizeBytes, `reading ${path}`) : readBatches(fd, sizeBytes, room);
  libc.close(fd);
  return read;
}

function readBatches(fd: number, sizeBytes: number, room: FrameRoom): JournalRead | ReadFault {
  const { workspace, plainAt } = room;
  const { view, bytes, base } = workspace;
  const head = preadFully(fd, base + plainAt, HEAD_BYTES, 0);
  if (head < 0) return ioError(head, "reading the run's journal");
  const magic = Buffer.from(bytes.slice(plainAt, plainAt + MAGIC_BYTES)).toString("latin1");
  if (head < HEAD_BYTES || magic !== JOURNAL_MAGIC) return damaged("the run's journal has no beginning");
  const salt = view.getBigUint64(plainAt + MAGIC_BYTES, true);
  const batches: Uint8Array[] = [];
  let offset = HEAD_BYTES;
  while (offset + BATCH_HEAD_BYTES <= sizeBytes) {
    const got = preadFully(fd, base + plainAt, BATCH_HEAD_BYTES, offset);
    if (got < 0) return ioError(got, "reading the run's journal");
    const length = view.getUint32(plainAt, true);
    const hash = view.getBigUint64(plainAt + 8, true);
    if (got < BATCH_HEAD_BYTES || length > FRAME_PLAIN_BYTES_MAX) break;
    if (offset + BATCH_HEAD_BYTES + length > sizeBytes) break;
    const batch = preadFully(fd, base + plainAt, length, offset + BATCH_HEAD_BYTES);
    if (batch < 0) return ioError(batch, "reading the run's journal");
    if (batch < length || workspace.hash(plainAt, length) !== hash) break;
    batches.push(bytes.slice(plainAt, plainAt + length));
    offset += BATCH_HEAD_BYTES + length;
  }
  return { kind: "journal", salt, batches, goodBytes: offset };
}
