/** @module Reads a backup again and says whether it is what was written: the archive's structure on the calling thread,
 *  its chunks and files on as many threads as there are. Damage is named, never stops the rest, and is never an
 *  exception.
 *  (1) `ok` means: every byte of the file that was looked at is the one that was written, or is one of the zeros that
 *      belong to nothing. At level `full` every byte is looked at. */
import { MalformedRecord } from "../index/record.ts";
import { ChunkTable } from "../archive/chunk-table.ts";
import { dropCached, readFully } from "../archive/files.ts";
import {
  aligned,
  CHUNK_PLAIN_BYTES_MAX,
  FRAME_HEADER_BYTES,
  FRAME_KIND,
  FRAME_PLAIN_BYTES_MAX,
  ROW_BYTES,
  TABLE_FRAME_ROWS,
} from "../archive/layout.ts";
import type { ArchiveReader } from "../archive/reader.ts";
import { salvageArchive } from "../archive/salvage.ts";
import { ArchiveDamaged, type OpenFault } from "../archive/types.ts";
import { createFrameRoom, type FrameRoom } from "../archive/workspace.ts";
import { Entry, type EntrySource, SPAN_NUMBERS } from "../entry.ts";
import { type Complaint, PlanBuilder, type PlannedArchive } from "./builder.ts";
import { COUNTER, UNIT, UNIT_NUMBERS, type VerifyPlan } from "./plan.ts";
import { runVerifyShare } from "./share.ts";
import {
  type DamagedFile,
  FILES_NAMED_MAX,
  type ShareFindings,
  type VerifyReport,
  type VerifyRequest,
} from "./types.ts";

const PROGRESS_MS = 200;
const COMMON = [FRAME_KIND.table, FRAME_KIND.index, FRAME_KIND.extra] as const;

/** An OpenFault: the archive is none that could be looked at (it was never finished, say). */
export async function verifyBackup(request: VerifyRequest): Promise<VerifyReport | OpenFault> {
  const room = createFrameRoom();
  const opened = salvageArchive(request.archivePath, room);
  if (opened.kind !== "archive") return opened;
  const verification = new Verification(request, opened.archive, room);
  try {
    return await verification.run();
  } finally {
    verification.close();
  }
}

class Verification {
  readonly #request: VerifyRequest;
  readonly #archive: ArchiveReader;
  readonly #room: FrameRoom;
  readonly #others: ArchiveReader[] = [];
  readonly #damage: string[] = [];

  constructor(request: VerifyRequest, archive: ArchiveReader, room: FrameRoom) {
    this.#request = request;
    this.#archive = archive;
    this.#room = room;
  }

  close(): void {
    for (const archive of [this.#archive, ...this.#others]) archive.close();
  }

  async run(): Promise<VerifyReport> {
    const { level, cached = false, archivePathOf } = this.#request;
    if (!cached) dropCached(this.#archive.fd);
    const builder = new PlanBuilder(
      { quick: level === "quick", cached },
      this.#planned(this.#archive),
      archivePathOf === undefined ? null : (pack) => this.#other(pack, archivePathOf),
    );
    this.#entries((entry) => builder.add(entry));
    const plan = builder.finish();
    this.#damage.push(...builder.damage);
    const [findings] = await Promise.all([this.#threads(plan), this.#structure(level === "full")]);
    if (level === "full") this.#firstGap(plan);
    return this.#report(plan, builder.complaints, findings);
  }

  /** The chunk table as far as it can be read. */
  #planned(archive: ArchiveReader): PlannedArchive {
    const { chunks, table } = archive.footer;
    const bytes = new Uint8Array(chunks * ROW_BYTES);
    const complain = (text: string) => {
      const damage = `backup ${archive.pack}, ${text}`;
      if (!this.#damage.includes(damage)) this.#damage.push(damage);
    };
    archive.repairs.forEach(complain);
    for (let from = 0; from < chunks; from += TABLE_FRAME_ROWS) {
      const page = archive.tablePage(from / TABLE_FRAME_ROWS);
      if (page instanceof Uint8Array) bytes.set(page, from * ROW_BYTES);
      else {
        complain(page.text);
        const rows = Math.min(TABLE_FRAME_ROWS, chunks - from);
        bytes.set(
          archive.foundChunks().bytes.subarray(from * ROW_BYTES, (from + rows) * ROW_BYTES),
          from * ROW_BYTES,
        );
      }
    }
    const rows = new ChunkTable(bytes);
    const from = archive.headerBlock.length;
    for (let chunk = 0; chunk < chunks; chunk++) {
      if (!rows.has(chunk) || isPossible(rows, chunk, from, table.offset)) continue;
      complain(`the chunk table has chunk ${chunk} where none can be`);
      bytes.fill(0, chunk * ROW_BYTES, (chunk + 1) * ROW_BYTES);
    }
    const { pack, path, header } = archive;
    return { pack, path, salt: header.salt, table: rows, from, to: table.offset };
  }

  #other(pack: number, archivePathOf: (pack: number) => string | null): PlannedArchive | null {
    const path = archivePathOf(pack);
    if (path === null) {
      this.#damage.push(`backup ${pack} is not there, but its data is needed`);
      return null;
    }
    const opened = salvageArchive(path, this.#room);
    if (opened.kind !== "archive") {
      this.#damage.push(`backup ${pack}, which is needed: ${opened.text}`);
      return null;
    }
    this.#others.push(opened.archive);
    return this.#planned(opened.archive);
  }

  /** Calls for each entry as far as the index can be read. */
  #entries(each: (entry: Entry, ordinal: number) => void, tells = true): void {
    const entry = new Entry();
    try {
      const source: EntrySource = this.#request.entries();
      for (let ordinal = 0; source.next(entry); ordinal++) each(entry, ordinal);
    } catch (error) {
      if (!(error instanceof ArchiveDamaged) && !(error instanceof MalformedRecord)) throw error;
      if (tells) this.#damage.push(`the index: ${error.message}`);
    }
  }

  async #threads(plan: VerifyPlan): Promise<readonly ShareFindings[]> {
    const { threads, progress, signal } = this.#request;
    const start = { role: "verify", plan } as const;
    const stop = () => Atomics.store(plan.counters, COUNTER.stop, 1);
    if (signal?.aborted) stop();
    if (threads === undefined) return [runVerifyShare(start)];
    let total = 0;
    for (let at = UNIT.plainBytes; at < plan.units.length; at += UNIT_NUMBERS)
      total += plan.units[at] as number;
    const timer = setInterval(() => {
      progress?.(Math.min(total, Atomics.load(plan.counters, COUNTER.plainKib) * 1024), total);
    }, PROGRESS_MS);
    signal?.addEventListener("abort", stop);
    try {
      return await Promise.all(Array.from({ length: threads.count }, () => threads.run(start)));
    } finally {
      clearInterval(timer);
      signal?.removeEventListener("abort", stop);
    }
  }

  /** Everything that is not a chunk, against the root hash. */
  async #structure(every: boolean): Promise<void> {
    const root = new Bun.CryptoHasher("sha256");
    root.update(this.#archive.headerBlock as Uint8Array<ArrayBuffer>);
    let whole = true;
    for (const kind of COMMON) {
      const frames = this.#archive.frames(kind);
      if ("kind" in frames) {
        whole = this.#complain(frames.text);
        continue;
      }
      for (const [number, frame] of frames.entries()) {
        const plain = this.#archive.frame(kind, number);
        if (plain instanceof Uint8Array) root.update(plain);
        else whole = this.#complain(plain.text);
        if (every)
          this.#zeros(
            frame.offset + FRAME_HEADER_BYTES + frame.storedBytes,
            frame.offset + aligned(FRAME_HEADER_BYTES + frame.storedBytes),
          );
      }
    }
    // A footer that was mended knows no root.
    if (
      whole &&
      this.#archive.repairs.length === 0 &&
      Buffer.compare(root.digest(), this.#archive.footer.root) !== 0
    )
      this.#complain("the root hash is not the one in the footer");
  }

  #complain(text: string): false {
    const damage = `backup ${this.#archive.pack}, ${text}`;
    if (!this.#damage.includes(damage)) this.#damage.push(damage);
    return false;
  }

  /** Between the header and the first chunk. */
  #firstGap(plan: VerifyPlan): void {
    const first =
      plan.units.length > 0 ? (plan.units[UNIT.offset] as number) : this.#archive.footer.table.offset;
    this.#zeros(this.#archive.headerBlock.length, first);
  }

  #zeros(from: number, to: number): void {
    const { workspace, plainAt } = this.#room;
    for (let offset = from; offset < to; offset += FRAME_PLAIN_BYTES_MAX) {
      const want = Math.min(FRAME_PLAIN_BYTES_MAX, to - offset);
      const got = readFully(this.#archive.fd, workspace.base + plainAt, want, offset);
      if (got < want) this.#complain(`the bytes at ${offset} cannot be read`);
      else if (!workspace.isZero(plainAt, want))
        this.#complain(`there is something at ${offset} that belongs to nothing`);
    }
  }

  #report(
    plan: VerifyPlan,
    complaints: readonly Complaint[],
    findings: readonly ShareFindings[],
  ): VerifyReport {
    const files = new Map<number, string>();
    for (const { ordinal, text } of [...complaints, ...findings.flatMap((found) => found.files)])
      if (!files.has(ordinal)) files.set(ordinal, text);
    const chunks = new Map<string, { pack: number; chunk: number; text: string }>();
    for (const { unit, text } of findings.flatMap((found) => found.units)) {
      const archive = plan.archives[plan.units[unit * UNIT_NUMBERS + UNIT.archive] as number];
      const [pack, chunk] = [archive?.pack ?? 0, plan.units[unit * UNIT_NUMBERS + UNIT.number] as number];
      chunks.set(`${pack}:${chunk}`, { pack, chunk, text });
    }
    const others = findings.flatMap((found) => found.others);
    const damagedFiles: DamagedFile[] = [];
    const damagedFileCount = files.size > 0 || chunks.size > 0 ? this.#name(files, chunks, damagedFiles) : 0;
    const damage = [...this.#damage, ...new Set(others)];
    const stopped = Atomics.load(plan.counters, COUNTER.stop) !== 0;
    const sum = (of: (found: ShareFindings) => number) =>
      findings.reduce((total, found) => total + of(found), 0);
    return {
      kind: "verified",
      level: this.#request.level,
      ok: !stopped && damage.length === 0 && files.size === 0 && chunks.size === 0,
      stopped,
      damage,
      damagedChunks: [...chunks.values()],
      damagedFiles,
      damagedFileCount,
      files: sum((found) => found.filesChecked),
      chunks: sum((found) => found.chunks),
      plainBytes: sum((found) => found.plainBytes),
    };
  }

  /** Paths of the files that damage touches; how many there are. */
  #name(
    files: ReadonlyMap<number, string>,
    chunks: ReadonlyMap<string, { readonly text: string }>,
    into: DamagedFile[],
  ): number {
    let count = 0;
    this.#entries((entry, ordinal) => {
      let text = files.get(ordinal);
      for (let span = 0; span < entry.spanCount && text === undefined && chunks.size > 0; span++) {
        const at = span * SPAN_NUMBERS;
        const damaged = chunks.get(`${entry.spans[at]}:${entry.spans[at + 1]}`);
        if (damaged !== undefined) text = `a part of it is damaged: ${damaged.text}`;
      }
      if (text === undefined) return;
      count++;
      if (into.length < FILES_NAMED_MAX) into.push({ path: entry.path.slice(0, entry.pathBytes), text });
    }, false);
    return count;
  }
}

/** Sizes and place are such as a chunk's frame may have: nothing is read by them before. */
function isPossible(rows: ChunkTable, chunk: number, from: number, to: number): boolean {
  const [offset, storedBytes, plainBytes] = [
    rows.offset(chunk),
    rows.storedBytes(chunk),
    rows.plainBytes(chunk),
  ];
  if (plainBytes > CHUNK_PLAIN_BYTES_MAX || storedBytes > plainBytes) return false;
  return offset >= from && offset + aligned(FRAME_HEADER_BYTES + storedBytes) <= to;
}
