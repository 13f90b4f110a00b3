/** @module Opens the archive that a run writes into: a new one, or what an interrupted run has left, with all that its
 *  journal and its whole chunks prove.
 *
 *  (1) What is taken over is read from no file again only where the file still has the very attributes that it had when it
 *      was read, and they were not fresh then (the racy rule, against the start of the run that read it).
 *  (2) A chunk counts only if it lies whole in the file; one of another backup only if that is the new run's ancestor.
 *  (3) Chunks that none of it refers to give their room back.
 *  (4) The journal is written anew with just what passes (1) and (2): chunk numbers that were lost are given out again,
 *      and start times are forgotten, so a record must not outlive the run that follows its own. */
import { rmSync } from "node:fs";
import { errorText, libc, O_CREAT, O_EXCL, O_RDWR, openFile } from "../../base/ffi.ts";
import { newSalt, writeHeader } from "../archive/header.ts";
import { JournalWriter, readJournal } from "../archive/journal.ts";
import { FRAME_PLAIN_BYTES_MAX } from "../archive/layout.ts";
import { ArchiveSpace } from "../archive/space.ts";
import { dropUnused, takeOver } from "../archive/takeover.ts";
import type { ArchiveHeader, WriteFault } from "../archive/types.ts";
import type { FrameRoom } from "../archive/workspace.ts";
import { comparePaths, Entry, FLAG, KIND, SPAN_NUMBERS } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import { isUntouched } from "./identity.ts";
import { DOUBTFUL, RACY_SECONDS } from "./judge.ts";
import { JOB_FLAGS } from "./jobs.ts";
import type { OpenPartial } from "./run.ts";
import type { Salvage } from "./survey.ts";

export interface PartialRequest {
  readonly archivePath: string;
  readonly journalPath: string;
  /** There is something to take over. */
  readonly resumed: boolean;
  readonly header: Omit<ArchiveHeader, "salt">;
  /** Is this chunk of another backup still there, and kept for the new one? */
  readonly mayReferTo: (pack: number, chunk: number) => boolean;
  readonly room: FrameRoom;
}

export type PartialOutcome =
  | { readonly kind: "open"; readonly partial: OpenPartial; readonly salvagedFiles: number; close(): void }
  | { readonly kind: "fault"; readonly fault: WriteFault }
  | { readonly kind: "failed"; readonly text: string };

export function openPartial(request: PartialRequest): PartialOutcome {
  if (request.resumed) {
    const resumed = resume(request);
    if (resumed !== null) return resumed;
  }
  return begin(request);
}

function begin({ archivePath, journalPath, header, room }: PartialRequest): PartialOutcome {
  rmSync(archivePath, { force: true });
  const fd = openFile(archivePath, O_RDWR | O_CREAT | O_EXCL);
  if (fd < 0) return { kind: "failed", text: `${archivePath}: cannot be made: ${errorText(fd)}` };
  const whole: ArchiveHeader = { ...header, salt: newSalt() };
  const bytes = writeHeader(fd, whole, room);
  if (typeof bytes !== "number") {
    libc.close(fd);
    return bytes.kind === "tooLong"
      ? { kind: "failed", text: `${bytes.text}: name fewer sources` }
      : { kind: "fault", fault: bytes };
  }
  const journal = JournalWriter.create(journalPath, whole.salt, room);
  return opened(fd, archivePath, whole, ArchiveSpace.create(bytes, 0), null, null, journal, 0);
}

/** null: nothing that can be used. */
function resume(request: PartialRequest): PartialOutcome | null {
  const { archivePath, journalPath, room, mayReferTo } = request;
  const fd = openFile(archivePath, O_RDWR);
  if (fd < 0) return null;
  const taken = takeOver(fd, room);
  if (taken.kind !== "takenOver") {
    libc.close(fd);
    return null;
  }
  const journal = readJournal(journalPath, room);
  const isOurs =
    journal.kind === "journal" &&
    journal.salt === taken.header.salt &&
    taken.header.number === request.header.number;
  if (!isOurs || taken.header.codec !== request.header.codec) {
    libc.close(fd);
    return null;
  }
  const header: ArchiveHeader = { ...request.header, salt: taken.header.salt };
  const written = writeHeader(fd, header, room, taken.headerBytes);
  if (typeof written !== "number") {
    libc.close(fd);
    return written.kind === "tooLong" ? null : { kind: "fault", fault: written };
  }
  const used = new Uint8Array((taken.nextChunk + 7) >>> 3);
  const salvage = new JournalSalvage(
    journal.batches,
    taken.header.startedAtMs / 1000,
    (pack, chunk) => (pack === header.number ? taken.chunks.has(chunk) : mayReferTo(pack, chunk)),
    (pack, chunk) => {
      if (pack === header.number) used[chunk >>> 3] = (used[chunk >>> 3] ?? 0) | (1 << (chunk & 7));
    },
  );
  const writer = JournalWriter.create(journalPath, header.salt, room);
  if (writer instanceof JournalWriter) for (const batch of salvage.batches) append(writer, batch);
  const kept = dropUnused(fd, room, taken, (chunk) => ((used[chunk >>> 3] ?? 0) & (1 << (chunk & 7))) !== 0);
  if (kept.kind !== "kept") {
    if (writer instanceof JournalWriter) writer.close();
    libc.close(fd);
    return { kind: "fault", fault: kept };
  }
  const space = ArchiveSpace.create(kept.tail, kept.nextChunk);
  return opened(fd, archivePath, header, space, kept.rows, salvage, writer, salvage.files);
}

function opened(
  fd: number,
  archivePath: string,
  header: ArchiveHeader,
  space: ArchiveSpace,
  rows: Uint8Array | null,
  salvage: Salvage | null,
  journal: JournalWriter | WriteFault,
  salvagedFiles: number,
): PartialOutcome {
  if (!(journal instanceof JournalWriter)) {
    libc.close(fd);
    return { kind: "fault", fault: journal };
  }
  let journalFailed = false;
  return {
    kind: "open",
    salvagedFiles,
    partial: {
      fd,
      archivePath,
      header,
      space,
      rows,
      salvage,
      journal: (records) => {
        // Without it the run after a crash reads more again, no more than that.
        if (!journalFailed) journalFailed = append(journal, records) !== null;
      },
    },
    close() {
      journal.close();
      libc.close(fd);
    },
  };
}

/** A batch that is too long for a journal (a file of hundreds of gigabytes has so long a record) is left out. */
function append(journal: JournalWriter, records: Uint8Array): WriteFault | null {
  return records.length > JOURNAL_BATCH_BYTES_MAX ? null : journal.append(records);
}

const JOURNAL_BATCH_BYTES_MAX = FRAME_PLAIN_BYTES_MAX - 1024;

/** What the journal of an interrupted run says of its files, by path. */
export class JournalSalvage implements Salvage {
  /** The records that count, each file's last one only. */
  readonly batches: readonly Uint8Array[];
  readonly #startSeconds: number;
  readonly #isThere: (pack: number, chunk: number) => boolean;
  /** Batch of each path, and which record of it. */
  readonly #places = new Map<string, number>();
  readonly #decoder = new RecordDecoder();
  readonly #found = new Entry();
  #openBatch = -1;
  #record = 0;

  /** `uses` hears of every chunk that what is salvaged refers to. */
  constructor(
    batches: readonly Uint8Array[],
    startSeconds: number,
    isThere: (pack: number, chunk: number) => boolean,
    uses: (pack: number, chunk: number) => void = () => {},
  ) {
    this.#startSeconds = startSeconds;
    this.#isThere = isThere;
    const last = this.#lastOfEach(batches);
    const encoder = new RecordEncoder();
    const good: Uint8Array[] = [];
    const entry = this.#found;
    for (const [number, batch] of batches.entries()) {
      encoder.reset();
      this.#decoder.open(batch);
      for (let record = 0; this.#decoder.next(entry); record++) {
        const key = pathKey(entry);
        if (last.get(key) !== number * RECORDS_MAX + record || !this.#counts(entry)) continue;
        this.#places.set(key, good.length * RECORDS_MAX + encoder.count);
        encoder.add(entry);
        for (let at = 0; at < entry.spanCount * SPAN_NUMBERS; at += SPAN_NUMBERS)
          uses(entry.spans[at] as number, entry.spans[at + 1] as number);
      }
      if (encoder.count > 0) good.push(encoder.take());
    }
    this.batches = good;
  }

  get files(): number {
    return this.#places.size;
  }

  contentOf(entry: Entry): boolean {
    const place = this.#places.get(pathKey(entry));
    if (place === undefined || !this.#seek(Math.floor(place / RECORDS_MAX), place % RECORDS_MAX))
      return false;
    const found = this.#found;
    if (comparePaths(found.path, found.pathBytes, entry.path, entry.pathBytes) !== 0) return false;
    if (!isUntouched(entry, found)) return false;
    entry.takeContent(found);
    entry.xattrs = found.xattrs;
    return true;
  }

  #lastOfEach(batches: readonly Uint8Array[]): Map<string, number> {
    const last = new Map<string, number>();
    const entry = this.#found;
    for (const [number, batch] of batches.entries()) {
      this.#decoder.open(batch);
      for (let record = 0; this.#decoder.next(entry); record++)
        if (entry.kind === KIND.file) last.set(pathKey(entry), number * RECORDS_MAX + record);
    }
    return last;
  }

  /** Mostly the next record of the batch that is open. */
  #seek(batch: number, record: number): boolean {
    if (batch !== this.#openBatch || record < this.#record) {
      const bytes = this.batches[batch];
      if (bytes === undefined) return false;
      this.#decoder.open(bytes);
      this.#openBatch = batch;
      this.#record = 0;
    }
    while (this.#record <= record) {
      if (!this.#decoder.next(this.#found)) return false;
      this.#record++;
    }
    return true;
  }

  #counts(then: Entry): boolean {
    const newest = Math.max(then.mtimeSeconds, then.ctimeSeconds);
    return (
      then.hasContent &&
      (then.flags & (DOUBTFUL | FLAG.rotten | JOB_FLAGS)) === 0 &&
      newest < this.#startSeconds - RACY_SECONDS &&
      this.#isWhole(then)
    );
  }

  #isWhole({ spans, spanCount }: Entry): boolean {
    for (let at = 0; at < spanCount * SPAN_NUMBERS; at += SPAN_NUMBERS) {
      const pack = spans[at] as number;
      if (pack !== 0 && !this.#isThere(pack, spans[at + 1] as number)) return false;
    }
    return true;
  }
}

/** More than any batch holds. */
const RECORDS_MAX = 1 << 20;

function pathKey({ path, pathBytes }: Entry): string {
  return Buffer.from(path.buffer, path.byteOffset, pathBytes).toString("latin1");
}
