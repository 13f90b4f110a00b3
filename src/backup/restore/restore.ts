/** @module A restore from beginning to end. The main thread walks the index once: it makes the directories, hands batches
 *  of files to Workers, and keeps for the end what must wait for them: further names of files, what is to be deleted,
 *  the directories' attributes, the flags that lock.
 *
 *  (1) What one file's damage or refusal costs is that file; each is named, and nothing wrong is left under its name.
 *  (2) Killed at any moment and run again, it goes on: what bears the backup's time is whole.
 *  (3) When it says that it is done, everything is on the medium (syncfs). */
import type { Clock } from "../../base/clock.ts";
import { errorText } from "../../base/ffi.ts";
import { syncFileSystem } from "../../base/files.ts";
import { Entry, FLAG, isWithin, KIND } from "../entry.ts";
import { RecordEncoder } from "../index/record.ts";
import { Attributes, type Identities } from "./attributes.ts";
import { type Batch, type BatchAnswer, PROGRESS_BYTES } from "./batch.ts";
import type { PackPaths } from "./chunks.ts";
import { Directories } from "./directories.ts";
import { removeExtra, type Spared } from "./extra.ts";
import { type Issue, IssueList, type IssueCounts, noIssues, ISSUE_KINDS } from "./issues.ts";
import { type LinkGroup, Links } from "./links.ts";
import type { OverwritePolicy } from "./policy.ts";
import type { SpawnWorker } from "../threads.ts";
import { Pool } from "./pool.ts";
import { damageOf, gapText } from "./damage.ts";
import { type EntryIndex, SelectedEntries } from "./select.ts";
import { type Mount, Target } from "./target.ts";

export interface RestoreRequest {
  readonly index: EntryIndex;
  readonly packs: PackPaths;
  /** As `selectPaths` gives them; null: everything. */
  readonly paths: readonly Uint8Array[] | null;
  readonly mounts: readonly Mount[];
  readonly identities: Identities;
  readonly policy: OverwritePolicy;
  readonly paranoid: boolean;
  /** Remove what is not in the backup, but for what this says; null: nothing is removed. */
  readonly delete: Spared | null;
  /** What there is to do, where it is known. */
  readonly expected: { readonly files: number; readonly bytes: number } | null;
  readonly workers: number;
  /** Issues of a kind that are named; damage always is. */
  readonly issuesKeptMax: number;
}

/** What a backup knows not to be whole of itself. */
const DOUBTS = FLAG.unreadable | FLAG.inconsistent;

export interface RestoreProgress {
  readonly files: number;
  readonly bytes: number;
  readonly elapsedMs: number;
  readonly filesInAll: number | null;
  readonly bytesInAll: number | null;
  /** null: cannot be told. */
  readonly leftMs: number | null;
}

export interface RestorePorts {
  readonly clock: Clock;
  /** null: everything in the calling thread. */
  readonly spawn: SpawnWorker | null;
  readonly onProgress?: (progress: RestoreProgress) => void;
  /** true: stop soon; what is done stays. */
  readonly stopping?: () => boolean;
}

/** "partial": some of it is not as in the backup, see the issues. "stopped": asked to, or the medium is full or
 *  read-only (`fatal` says so): the same command goes on from there. */
export interface RestoreReport {
  readonly outcome: "done" | "partial" | "stopped";
  readonly fatal: string | null;
  /** Files, links and special files that were made; those that were right already; newer ones that were left. */
  readonly made: number;
  readonly same: number;
  readonly kept: number;
  readonly directories: number;
  /** Further names of files, among `made`. */
  readonly links: number;
  /** Entries in directories that could not be made. */
  readonly skipped: number;
  readonly deleted: number;
  readonly bytes: number;
  readonly durationMs: number;
  readonly issues: readonly Issue[];
  readonly issueCounts: IssueCounts;
  /** What was damaged and did not matter. */
  readonly notes: readonly string[];
}

const NOTHING = new Uint8Array(0);
const SLASH = 0x2f;
const BATCH_ENTRIES = 512;
const BATCH_BYTES = 4 * 1024 * 1024;
/** A file of this size is a batch of its own, so that nothing waits behind it. */
const LARGE_BYTES = 8 * 1024 * 1024;
const PROGRESS_MS = 200;

export function restore(request: RestoreRequest, ports: RestorePorts): Promise<RestoreReport> {
  return new Restore(request, ports).run();
}

class Restore {
  readonly #request: RestoreRequest;
  readonly #ports: RestorePorts;
  readonly #startedMs: number;
  readonly #issues: IssueList;
  readonly #workerIssues: Issue[] = [];
  readonly #notes: string[] = [];
  readonly #workerCounts = new Map<number, IssueCounts>();
  readonly #target: Target;
  readonly #attributes: Attributes;
  readonly #directories: Directories;
  readonly #links = new Links();
  readonly #pool: Pool;
  readonly #progress: Float64Array;
  readonly #stop = new Int32Array(new SharedArrayBuffer(4));
  readonly #encoder = new RecordEncoder(256 * 1024);
  /** Of the open batch and of those under way: which entries are the first of a group. */
  #leaders = new Map<number, LinkGroup>();
  readonly #leadersOf = new Map<number, ReadonlyMap<number, LinkGroup>>();
  #batchBytes = 0;
  #batches = 0;
  #toldMs: number;
  #made = 0;
  #same = 0;
  #kept = 0;
  #bytes = 0;
  #skipped = 0;
  #deleted = 0;
  #fatal = 0;
  #indexFault: string | null = null;
  /** Directory of the last entry, in an index that has lost some of them. */
  #parent: Uint8Array | null = null;
  #mixtures = 0;
  /** Something was left undone. */
  #stopped = false;

  constructor(request: RestoreRequest, ports: RestorePorts) {
    this.#request = request;
    this.#ports = ports;
    this.#startedMs = ports.clock.nowMs();
    this.#toldMs = this.#startedMs;
    const issues = new IssueList(request.issuesKeptMax);
    this.#issues = issues;
    this.#target = new Target(request.mounts);
    const issue = issues.addOf;
    this.#attributes = new Attributes(request.identities, (entry, text) => issue("attribute", entry, text));
    const { policy } = request;
    this.#directories = new Directories({
      target: this.#target,
      attributes: this.#attributes,
      policy,
      issue,
    });
    const progress = new SharedArrayBuffer(PROGRESS_BYTES * Math.max(1, request.workers));
    this.#progress = new Float64Array(progress);
    const setup = {
      mounts: request.mounts,
      packs: [...request.packs],
      users: [...request.identities.users],
      groups: [...request.identities.groups],
      policy,
      paranoid: request.paranoid,
      issuesKeptMax: request.issuesKeptMax,
      progress,
      stop: this.#stop,
    };
    this.#pool = new Pool(setup, request.workers, ports.spawn, (answer) => this.#hear(answer));
  }

  async run(): Promise<RestoreReport> {
    // Also while a Worker is at a large file: it looks whether it is to stop.
    const timer = this.#ports.spawn === null ? null : setInterval(() => this.#tick(), PROGRESS_MS);
    try {
      await this.#walk();
      await this.#pool.drain();
      const spared = this.#request.delete;
      if (!this.#links.isDone && !this.#stops()) this.#finishLinks();
      this.#tellGaps();
      if (spared !== null && !this.#stops()) this.#removeExtra(spared);
      // Also of a restore that is stopped: what is there is as it should be.
      this.#directories.finish();
      this.#sync();
    } finally {
      if (timer !== null) clearInterval(timer);
      this.#target.forget();
      await this.#pool.close();
    }
    this.#tell();
    return this.#report();
  }

  /** Whether the next thing is not to be done: asked only where something is left to do. */
  #stops(): boolean {
    if (!this.#isToStop()) return this.#stopped;
    this.#stopped = true;
    return true;
  }

  #isToStop(): boolean {
    const isToStop = this.#fatal !== 0 || this.#ports.stopping?.() === true;
    if (isToStop) Atomics.store(this.#stop, 0, 1);
    return isToStop;
  }

  async #walk(): Promise<void> {
    const { index, paths } = this.#request;
    const entries = new SelectedEntries(index, paths);
    const entry = new Entry();
    /** A directory that could not be made: nothing below it can. */
    let blocked: Uint8Array | null = null;
    while (!this.#stops() && this.#next(entries, entry)) {
      if (blocked !== null) {
        if (isWithin(entry.path, entry.pathBytes, blocked)) {
          this.#skipped++;
          continue;
        }
        blocked = null;
      }
      if (index.isDamaged === true) this.#fillParents(entry);
      if ((entry.flags & DOUBTS) !== 0 && !entries.isParent) this.#tellDoubts(entry);
      if (entry.kind === KIND.directory) {
        if (!this.#directories.make(entry, entries.isParent)) blocked = entry.path.slice(0, entry.pathBytes);
        continue;
      }
      const group = entry.links > 1 ? this.#links.sort(entry) : undefined;
      if (group === null) continue;
      await this.#put(entry, group);
    }
    await this.#flush();
    if (this.#mixtures > 0)
      this.#notes.push(`${this.#mixtures} files changed while they were backed up: they may be mixtures`);
  }

  /** What the backup itself knows not to be whole. A file without content is told when it is to be made. */
  #tellDoubts(entry: Entry): void {
    if ((entry.flags & FLAG.inconsistent) !== 0) this.#mixtures++;
    if ((entry.flags & FLAG.unreadable) === 0) return;
    if (entry.kind === KIND.directory)
      this.#issues.addOf(
        "unreadable",
        entry,
        "it could not be listed when it was backed up: not all of it may be here",
      );
    else if (entry.kind === KIND.file && entry.hasContent)
      this.#issues.addOf(
        "unreadable",
        entry,
        "it could not be read when it was backed up: this is an earlier backup's",
      );
  }

  /** The directories of an entry may be among what the index has lost. */
  #fillParents(entry: Entry): void {
    const { path, pathBytes } = entry;
    const bytes = Math.max(0, path.lastIndexOf(SLASH, pathBytes - 1));
    if (this.#parent?.length === bytes && isWithin(path, pathBytes, this.#parent)) return;
    this.#parent = path.slice(0, bytes);
    this.#directories.makeLost(entry);
  }

  /** What the index has lost. */
  #tellGaps(): void {
    for (const gap of this.#request.index.gaps ?? []) {
      const text = gapText(gap);
      this.#indexFault ??= text;
      if (gap.missing === 0) {
        this.#notes.push(text);
        continue;
      }
      const { after, doubtful, doubtfulCount } = gap;
      this.#issues.add("damaged", after ?? NOTHING, after?.length ?? 0, text);
      for (const path of doubtful) {
        const lost = "it is not known how it was in this backup: the index is damaged";
        this.#issues.add("damaged", path, path.length, lost);
      }
      if (doubtfulCount <= doubtful.length) continue;
      const more = `${doubtfulCount - doubtful.length} more of which it is not known how they were`;
      this.#issues.add("damaged", after ?? NOTHING, after?.length ?? 0, more);
    }
  }

  /** The next entry; a damaged index ends the walk, and is told. */
  #next(entries: SelectedEntries, entry: Entry): boolean {
    try {
      return entries.next(entry);
    } catch (error) {
      const { text } = damageOf(error);
      this.#indexFault = text;
      const after = `${text}: what comes after this in the backup is not restored`;
      this.#issues.add("damaged", entry.path, entry.pathBytes, after);
      return false;
    }
  }

  async #put(entry: Entry, group: LinkGroup | undefined): Promise<void> {
    const bytes = entry.kind === KIND.file ? entry.sizeBytes : 0;
    if (bytes >= LARGE_BYTES) await this.#flush();
    if (group !== undefined) this.#leaders.set(this.#encoder.count, group);
    this.#encoder.add(entry);
    this.#batchBytes += bytes;
    if (this.#encoder.count >= BATCH_ENTRIES || this.#batchBytes >= BATCH_BYTES) await this.#flush();
  }

  async #flush(): Promise<void> {
    if (this.#encoder.count === 0) return;
    const batch: Batch = { kind: "batch", id: this.#batches++, records: this.#encoder.take() };
    if (this.#leaders.size > 0) {
      this.#leadersOf.set(batch.id, this.#leaders);
      this.#leaders = new Map();
    }
    const bytes = this.#batchBytes;
    this.#encoder.reset();
    this.#batchBytes = 0;
    await this.#pool.give(batch, bytes >= LARGE_BYTES);
    if (this.#ports.spawn === null) this.#tellNowAndThen();
  }

  #hear(answer: BatchAnswer): void {
    this.#made += answer.made;
    this.#same += answer.same;
    this.#kept += answer.kept;
    this.#bytes += answer.bytes;
    this.#workerIssues.push(...answer.issues);
    this.#workerCounts.set(answer.thread, answer.issueCounts);
    if (answer.fatal !== 0) this.#fatal = answer.fatal;
    if (answer.stopped) this.#stopped = true;
    const leaders = this.#leadersOf.get(answer.id);
    if (leaders === undefined) return;
    this.#leadersOf.delete(answer.id);
    for (const number of answer.notDone) {
      const group = leaders.get(number);
      if (group !== undefined) group.done = false;
    }
  }

  #finishLinks(): void {
    const other = new Target(this.#request.mounts);
    this.#target.forget();
    const links = {
      target: this.#target,
      other,
      attributes: this.#attributes,
      policy: this.#request.policy,
      issue: this.#issues.addOf,
    };
    this.#links.finish(links, () => !this.#stops());
    other.forget();
    this.#made += this.#links.made;
    this.#same += this.#links.same;
  }

  #removeExtra(spared: Spared): void {
    if (this.#indexFault !== null || this.#request.index.isDamaged === true) {
      this.#issues.add("failed", NOTHING, 0, "nothing is deleted: the index is damaged");
      return;
    }
    try {
      removeExtra(new SelectedEntries(this.#request.index, this.#request.paths), {
        target: this.#target,
        remove: true,
        spared,
        removed: () => {
          this.#deleted++;
        },
        failed: (path, text) => this.#issues.add("failed", path, path.length, text),
      });
    } catch (error) {
      this.#indexFault = damageOf(error).text;
    }
  }

  #sync(): void {
    const synced = new Set<number>();
    for (const { fd, directory } of this.#request.mounts) {
      if (synced.has(fd)) continue;
      synced.add(fd);
      const result = syncFileSystem(fd);
      if (result >= 0) continue;
      const path = Buffer.from(directory);
      this.#issues.add("failed", path, path.length, `writing out: ${errorText(result)}`);
      if (this.#fatal === 0) this.#fatal = result;
    }
  }

  #tick(): void {
    if (!this.#isToStop()) this.#tell();
  }

  #tellNowAndThen(): void {
    const nowMs = this.#ports.clock.nowMs();
    if (nowMs - this.#toldMs < PROGRESS_MS) return;
    this.#toldMs = nowMs;
    this.#tell();
  }

  #tell(): void {
    const { onProgress, clock } = this.#ports;
    if (onProgress === undefined) return;
    let files = this.#links.made + this.#links.same;
    let bytes = 0;
    for (let at = 0; at < this.#progress.length; at += PROGRESS_BYTES / 8) {
      files += this.#progress[at] as number;
      bytes += this.#progress[at + 1] as number;
    }
    const elapsedMs = clock.nowMs() - this.#startedMs;
    const expected = this.#request.expected;
    onProgress({
      files,
      bytes,
      elapsedMs,
      filesInAll: expected?.files ?? null,
      bytesInAll: expected?.bytes ?? null,
      leftMs: expected === null ? null : leftMs(elapsedMs, files, bytes, expected),
    });
  }

  #report(): RestoreReport {
    const issueCounts = noIssues();
    for (const counts of [this.#issues.counts, ...this.#workerCounts.values()]) {
      for (const kind of ISSUE_KINDS) issueCounts[kind] += counts[kind];
    }
    const issues = [...this.#issues.take(), ...this.#workerIssues];
    const complaints = ISSUE_KINDS.reduce((sum, kind) => sum + issueCounts[kind], 0);
    return {
      outcome: this.#stopped || this.#fatal !== 0 ? "stopped" : complaints > 0 ? "partial" : "done",
      fatal: this.#fatal === 0 ? null : errorText(this.#fatal),
      made: this.#made,
      same: this.#same,
      kept: this.#kept,
      directories: this.#directories.made,
      links: this.#links.made,
      skipped: this.#skipped,
      deleted: this.#deleted,
      bytes: this.#bytes,
      durationMs: this.#ports.clock.nowMs() - this.#startedMs,
      issues,
      issueCounts,
      notes: this.#notes,
    };
  }
}

/** By whichever of files and bytes is further behind. */
function leftMs(
  elapsedMs: number,
  files: number,
  bytes: number,
  expected: { readonly files: number; readonly bytes: number },
): number | null {
  const share = Math.min(
    expected.files > 0 ? files / expected.files : 1,
    expected.bytes > 0 ? bytes / expected.bytes : 1,
  );
  if (share <= 0) return null;
  return Math.max(0, (elapsedMs * (1 - share)) / share);
}
