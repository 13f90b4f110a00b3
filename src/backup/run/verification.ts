/** @module Verifies one backup of a store and marks it accordingly: a backup that is not what was written loses its mark
 *  and is nobody's parent any more. */
import { ArchiveDamaged } from "../archive/types.ts";
import type { EntrySource } from "../entry.ts";
import { RecordCursor, RecordPages } from "../index/pages.ts";
import { MalformedRecord } from "../index/record.ts";
import { isFault, type ReadableStore, type StoreFault, type WritableStore } from "../store/contract.ts";
import type { ShareFindings, VerifyLevel, VerifyReport, VerifyStart } from "../verify/types.ts";
import { verifyBackup } from "../verify/verify.ts";
import type { SpawnWorker } from "../threads.ts";

export interface VerificationOptions {
  readonly level: VerifyLevel;
  /** Take what the page cache holds. */
  readonly cached: boolean;
  /** Also the parts of its files that other archives hold. */
  readonly whole: boolean;
  readonly workers: number;
}

export interface VerificationPorts {
  readonly spawn: SpawnWorker;
  readonly progress?: (doneBytes: number, totalBytes: number) => void;
}

export type VerificationOutcome =
  | VerifyReport
  | StoreFault
  | { readonly kind: "failed"; readonly text: string };

/** Less than this is read on the spot: a Worker takes longer to start. */
const IN_THREAD_BYTES = 8 * 1024 * 1024;

export async function verifyNumber(
  store: ReadableStore,
  number: number,
  options: VerificationOptions,
  ports: VerificationPorts,
): Promise<VerificationOutcome> {
  const archivePath = store.archivePath(number);
  const reader = store.readerOf(number);
  if (isFault(reader)) return reader;
  if (archivePath === null) return { kind: "failed", text: `there is no backup ${number}` };
  const threads = new Threads(options.workers, ports.spawn);
  try {
    const report = await verifyBackup({
      level: options.level,
      archivePath,
      entries: () => entriesOf(store, number, options.whole),
      cached: options.cached,
      ...(options.whole ? { archivePathOf: (pack: number) => store.archivePath(pack) } : {}),
      ...(options.whole || reader.footer.plainBytes > IN_THREAD_BYTES ? { threads } : {}),
      ...(ports.progress === undefined ? {} : { progress: ports.progress }),
    });
    return report.kind === "verified" ? report : { kind: "failed", text: `backup ${number}: ${report.text}` };
  } finally {
    threads.end();
  }
}

/** As verifyNumber; the result is noted in the store. */
export async function verifyAndMark(
  store: WritableStore,
  number: number,
  options: VerificationOptions,
  ports: VerificationPorts,
  nowMs: () => number,
): Promise<VerificationOutcome> {
  const report = await verifyNumber(store, number, options, ports);
  if (isFault(report)) return report;
  const ok = report.kind === "verified" && report.ok;
  const marked = store.mark(number, { verified: ok ? { atMs: nowMs(), level: options.level } : null });
  return isFault(marked) ? marked : report;
}

/** All entries of the backup; or only those that are its own, when nothing of other archives is looked at. */
function entriesOf(store: ReadableStore, number: number, whole: boolean): EntrySource {
  const reader = store.readerOf(number);
  if (isFault(reader)) throw new ArchiveDamaged({ kind: "damaged", text: reader.text });
  if (!whole && reader.header.indexBase !== null)
    return new RecordCursor(new RecordPages(reader.indexPages()));
  const index = store.indexOf(number);
  if (isFault(index)) throw new MalformedRecord(index.text);
  return index.cursor();
}

/** Workers that verify; made when they are first wanted. */
class Threads {
  readonly count: number;
  readonly #spawn: SpawnWorker;
  readonly #workers: Worker[] = [];

  constructor(count: number, spawn: SpawnWorker) {
    this.count = count;
    this.#spawn = spawn;
  }

  run(start: VerifyStart): Promise<ShareFindings> {
    const worker = this.#spawn(`verify ${this.#workers.length + 1}`);
    this.#workers.push(worker);
    const { promise, resolve, reject } = Promise.withResolvers<ShareFindings>();
    worker.onmessage = (event: MessageEvent) => resolve(event.data as ShareFindings);
    worker.addEventListener("error", (event: ErrorEvent) => reject(new Error(event.message)));
    worker.postMessage(start);
    return promise;
  }

  end(): void {
    for (const worker of this.#workers) worker.terminate();
  }
}
