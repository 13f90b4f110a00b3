/** @module One backup run, from the scan to the durable archive: survey, reading, index, footer. What comes before
 *  (which level, which parent, room) and after (commit, verification, marks) is the caller's.
 *
 *  (1) The archive under its partial name is nobody's backup; it is complete only when this has returned "written".
 *  (2) What a run has read is in its journal as soon as the answer is there: the run after a crash takes it over.
 *  (3) Nothing about one file ends a run; only the archive's own disk, a dead Worker or an unreadable parent does. */
import type { Clock } from "../../base/clock.ts";
import { ArchiveFinisher, type Finished } from "../archive/finisher.ts";
import type { ArchiveSpace } from "../archive/space.ts";
import type { ArchiveHeader, WriteFault } from "../archive/types.ts";
import type { FrameRoom } from "../archive/workspace.ts";
import type { Entry } from "../entry.ts";
import { packChanges } from "../index/changes.ts";
import type { Index } from "../index/lookup.ts";
import type { ScanRules } from "../scan/messages.ts";
import { type Scan, ScanFailure } from "../scan/scan.ts";
import type { Names, NameTable } from "../scan/names.ts";
import { DeltaOut, FullOut, type IndexOutput } from "./index-out.ts";
import type { Judging, Reason } from "./judge.ts";
import type { Complaint, Flushed } from "./messages.ts";
import type { SpawnWorker } from "../threads.ts";
import { ReaderPool } from "./pool.ts";
import { emptyCounts, type PublishCounts, publish } from "./publish.ts";
import { type Salvage, Survey } from "./survey.ts";
import { Unseen } from "./unseen.ts";

/** The partial archive that a run writes into: a new one, or an interrupted run's. */
export interface OpenPartial {
  readonly fd: number;
  readonly archivePath: string;
  readonly header: ArchiveHeader;
  readonly space: ArchiveSpace;
  /** Rows of chunks that are there already (ArchiveFinisher.addRows). */
  readonly rows: Uint8Array | null;
  readonly salvage: Salvage | null;
  /** Notes what has been read; a failure only costs the next run its takeover. */
  readonly journal: (records: Uint8Array) => void;
}

export interface RunRequest {
  readonly partial: OpenPartial;
  /** The parent's index; null: a full backup. */
  readonly parent: Index | null;
  /** The new index is written as a difference to the parent's. */
  readonly asDelta: boolean;
  readonly scan: ScanRules;
  readonly judging: Judging;
  /** Sources that are not there: what the parent has of them stays. */
  readonly missing: readonly Complaint[];
  readonly workers: number;
  /** The archive may not become larger; null: as large as the disk. */
  readonly budgetBytes: number | null;
}

/** What may be shown while it runs. */
export interface RunProgress {
  phase: "scan" | "read" | "index" | "verify" | "done";
  entries: number;
  filesToRead: number;
  bytesToRead: number;
  filesRead: number;
  bytesRead: number;
}

export interface RunPorts {
  readonly spawn: SpawnWorker;
  readonly room: FrameRoom;
  readonly clock: Clock;
  readonly names: Names;
  readonly progress: RunProgress;
  readonly explain: ((entry: Entry, reason: Reason) => void) | null;
  /** Stops the run: what was read so far is kept for the next one. */
  readonly signal?: AbortSignal;
}

export interface Written {
  readonly kind: "written";
  readonly finished: Finished;
  readonly counts: PublishCounts;
  readonly complaints: readonly Complaint[];
  /** What was left out, and the operator should know. */
  readonly notes: readonly Complaint[];
  /** Bytes of files that were read. */
  readonly readBytes: number;
}

export type RunOutcome =
  | Written
  | { readonly kind: "fault"; readonly fault: WriteFault }
  | { readonly kind: "failed"; readonly text: string };

const STOPPED = "stopped; what was read so far is kept, and the next backup takes it over";

export function emptyProgress(): RunProgress {
  return { phase: "scan", entries: 0, filesToRead: 0, bytesToRead: 0, filesRead: 0, bytesRead: 0 };
}

export async function runBackup(request: RunRequest, ports: RunPorts): Promise<RunOutcome> {
  const { partial, parent } = request;
  const { progress } = ports;
  const pool = new ReaderPool(
    request.workers,
    ports.spawn,
    {
      role: "backupReader",
      archivePath: partial.archivePath,
      pack: partial.header.number,
      codec: partial.header.codec,
      salt: partial.header.salt,
      shared: partial.space.buffer,
    },
    (answer) => {
      partial.journal(answer.records);
      progress.filesRead += answer.files;
      progress.bytesRead += answer.readBytes;
      if (request.budgetBytes !== null && partial.space.tail > request.budgetBytes)
        pool.fault ??= { kind: "noSpace", text: "the store has taken up all that it may" };
    },
  );
  const stop = () => pool.stop(STOPPED);
  ports.signal?.addEventListener("abort", stop);
  if (ports.signal?.aborted === true) stop();
  try {
    const survey = new Survey({
      parent: parent === null ? null : () => parent.cursor(),
      judging: request.judging,
      salvage: partial.salvage,
      send: (job) => pool.submit(job),
      explain: ports.explain,
    });
    const scan = pool.scan(request.scan);
    for await (const batch of scan.batches()) {
      survey.take(batch);
      showSurvey(progress, survey);
      // A full disk is another matter: how much is still to be read says how much room is wanted.
      if (pool.failed !== null) break;
      await pool.room();
    }
    survey.finish();
    showSurvey(progress, survey);
    progress.phase = "read";
    await pool.answered();
    if (pool.failed === null && survey.rescue(pool.strayed)) showSurvey(progress, survey);
    const flushed = await pool.drain();
    if (pool.failed !== null) return { kind: "failed", text: pool.failed };
    if (pool.fault !== null) return { kind: "fault", fault: pool.fault };
    progress.phase = "index";
    return complete(request, ports, survey, scan, pool, flushed);
  } catch (error) {
    if (error instanceof ScanFailure) return { kind: "failed", text: error.message };
    throw error;
  } finally {
    ports.signal?.removeEventListener("abort", stop);
    await pool.end();
  }
}

function showSurvey(progress: RunProgress, survey: Survey): void {
  progress.entries = survey.draft.judged;
  progress.filesToRead = survey.filesToRead;
  progress.bytesToRead = survey.bytesToRead;
}

/** Everything is read: index and footer. */
function complete(
  { partial, parent, asDelta, missing }: RunRequest,
  ports: RunPorts,
  survey: Survey,
  scan: Scan,
  pool: ReaderPool,
  flushed: readonly Flushed[],
): RunOutcome {
  const { fd, header, space, rows } = partial;
  const { progress } = ports;
  const finisher = new ArchiveFinisher({ fd, header, space, room: ports.room });
  if (rows !== null) finisher.addRows(rows);
  for (const part of flushed) {
    finisher.addRows(part.rows);
    finisher.abandon(part.abandoned);
  }
  const begun = finisher.begin();
  if (begun !== null) return { kind: "fault", fault: begun };
  const delta = asDelta && parent !== null ? new DeltaOut(finisher) : null;
  const out: IndexOutput = delta ?? new FullOut(finisher, parent === null);
  let counts: PublishCounts;
  if (survey.isUnchanged && delta !== null && parent !== null) {
    // The index is the parent's: nothing is looked at twice.
    delta.keepAll(parent.count);
    counts = { ...emptyCounts(), ...survey.totals, unchanged: survey.totals.entries };
  } else {
    counts = publish({
      draft: survey.draft,
      parent: parent?.cursor() ?? null,
      first: pool.first,
      second: pool.second,
      third: pool.third,
      unseen: new Unseen([...missing, ...scan.errors], missing.length + scan.counters.errors),
      pack: header.number,
      out,
      complain: (entry, text) => {
        pool.complaints.push({ path: entry.path.slice(0, entry.pathBytes), text });
      },
    });
  }
  out.finish();
  const complaints = [...missing, ...scan.errors, ...pool.complaints];
  const finished = finisher.finish({
    entries: counts.entries,
    files: counts.files,
    finishedAtMs: ports.clock.wallMs(),
    extra: {
      users: namesOf(survey.uids, ports.names.users),
      groups: namesOf(survey.gids, ports.names.groups),
      counts: { ...counts },
      errors: complaints,
    },
    changes: packChanges(out.changes()),
  });
  if (finished.kind !== "finished") return { kind: "fault", fault: finished };
  return {
    kind: "written",
    finished,
    counts,
    complaints,
    notes: scan.notes,
    readBytes: progress.bytesRead,
  };
}

function namesOf(numbers: ReadonlySet<number>, { nameOf }: NameTable): Record<string, string> {
  const names: Record<string, string> = {};
  for (const number of numbers) {
    const name = nameOf.get(number);
    if (name !== undefined) names[number] = name;
  }
  return names;
}
