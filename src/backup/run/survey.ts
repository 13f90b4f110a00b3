/** @module The first half of a run: the scan's list beside the parent's index, both in order, once through.
 *
 *  (1) Every entry of the scan gets exactly one verdict; what is not kept is in exactly one job, or is another name of a
 *      file that is.
 *  (2) A file that is new at its path may be a moved one: it waits until the scan is through, and is then looked for in
 *      the parent's index by its inode. Nothing is taken over without equal times of the inode or an equal hash.
 *  (3) A file of several names is read under the first that is not kept. Where that name is gone by then, the next one is
 *      read after all others (`rescue`). */
import { comparePaths, Entry, type EntrySource, FLAG, KIND, PIECE_BYTES } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import { Draft, VERDICT } from "./draft.ts";
import { inodeKey, isSameInode, isSameMtime, linkKey } from "./identity.ts";
import { type Job, JOB_FLAG, JobBuilder } from "./jobs.ts";
import { isPlainMove, type Judging, judge, mayBeMoved, type Reason } from "./judge.ts";

/** What an interrupted run had already stored. */
export interface Salvage {
  /** Fills in content and extended attributes of `entry` where the interrupted run had read just this file; false: it
   *  had not. */
  contentOf(entry: Entry): boolean;
}

export interface SurveyOptions {
  /** Opens the parent's index at its beginning; null: a full backup. May be called twice. */
  readonly parent: (() => EntrySource) | null;
  readonly judging: Judging;
  readonly salvage: Salvage | null;
  readonly send: (job: Job) => void;
  /** Hears why an entry is read (`--explain`). */
  readonly explain: ((entry: Entry, reason: Reason) => void) | null;
}

export class Survey {
  readonly draft = new Draft();
  /** Of the scan. */
  readonly totals = { entries: 0, files: 0, bytes: 0 };
  readonly uids = new Set<number>();
  readonly gids = new Set<number>();
  deleted = 0;
  /** Bytes of files that are to be read. */
  bytesToRead = 0;
  filesToRead = 0;
  /** No entry differs from the parent's: the index is the parent's. */
  get isUnchanged(): boolean {
    return this.deleted === 0 && this.#kept === this.draft.judged && this.#options.parent !== null;
  }
  readonly #options: SurveyOptions;
  readonly #parent: EntrySource | null;
  readonly #first: JobBuilder;
  readonly #second: JobBuilder;
  readonly #third: JobBuilder;
  readonly #decoder = new RecordDecoder();
  readonly #now = new Entry();
  readonly #then = new Entry();
  readonly #waiting = new RecordEncoder();
  readonly #linked = new Set<string>();
  #linkedCount = 0;
  #thenValid: boolean;
  #kept = 0;
  #lastUid = -1;
  #lastGid = -1;

  constructor(options: SurveyOptions) {
    this.#options = options;
    this.#parent = options.parent?.() ?? null;
    this.#thenValid = this.#parent?.next(this.#then) ?? false;
    this.#first = new JobBuilder(1, options.send);
    this.#second = new JobBuilder(2, options.send);
    this.#third = new JobBuilder(3, options.send);
  }

  /** The next batch of the scan. */
  take(batch: Uint8Array): void {
    this.draft.addBatch(batch);
    this.#decoder.open(batch);
    while (this.#decoder.next(this.#now)) {
      this.#count(this.#now);
      this.#takeEntry();
    }
  }

  /** The scan is through. */
  finish(): void {
    while (this.#thenValid) this.#skipThen();
    this.#first.flush();
    if (this.#waiting.count > 0) this.#lookForMoved();
    this.#second.flush();
  }

  /** `strayed`: keys of files that were not found under the name that was to be read (JobAnswer.strayed). Their next
   *  names are read instead, in the third pass; true: there are some. */
  rescue(strayed: ReadonlySet<string>): boolean {
    if (strayed.size === 0 || this.#linkedCount === 0) return false;
    const left = new Set(strayed);
    const now = this.#now;
    const scan = this.draft.entries();
    for (let ordinal = 0; scan.next(now); ordinal++) {
      if (this.draft.verdictOf(ordinal) !== VERDICT.linked || !left.delete(linkKey(now))) continue;
      this.draft.judgeAgain(ordinal, VERDICT.third);
      this.filesToRead++;
      this.bytesToRead += now.sizeBytes;
      this.#third.add(now);
    }
    this.#third.flush();
    return this.#third.count > 0;
  }

  #count(now: Entry): void {
    this.totals.entries++;
    if (now.kind === KIND.file) {
      this.totals.files++;
      this.totals.bytes += now.sizeBytes;
    }
    if (now.uid !== this.#lastUid) {
      this.#lastUid = now.uid;
      this.uids.add(now.uid);
    }
    if (now.gid !== this.#lastGid) {
      this.#lastGid = now.gid;
      this.gids.add(now.gid);
    }
  }

  #takeEntry(): void {
    const { judging, explain } = this.#options;
    const now = this.#now;
    const order = this.#advanceTo(now);
    if (order === 0) {
      const reason = judge(now, this.#then, judging);
      if (reason === "unchanged") {
        this.#kept++;
        this.draft.judge(VERDICT.keep);
      } else {
        explain?.(now, reason);
        this.#read(reason);
      }
      this.#thenValid = this.#parent?.next(this.#then) ?? false;
      return;
    }
    explain?.(now, this.#parent === null ? "full" : "new");
    now.clearContent();
    this.#readOrWait(this.#parent !== null);
  }

  /** Brings the parent's cursor to this path; 0: it is there. */
  #advanceTo(now: Entry): number {
    while (this.#thenValid) {
      const order = comparePaths(this.#then.path, this.#then.pathBytes, now.path, now.pathBytes);
      if (order >= 0) return order;
      this.#skipThen();
    }
    return 1;
  }

  #skipThen(): void {
    this.deleted++;
    this.#thenValid = this.#parent?.next(this.#then) ?? false;
  }

  /** At the same path, and not the same. */
  #read(reason: Reason): void {
    const now = this.#now;
    const then = this.#then;
    now.clearContent();
    if (now.kind === then.kind) now.xattrs = then.xattrs;
    if (now.kind !== KIND.file) {
      this.draft.judge(VERDICT.first);
      this.#first.add(now);
      return;
    }
    if (then.kind === KIND.file) {
      now.takeContent(then);
      if (reason === "paranoid") now.flags |= JOB_FLAG.settled;
    }
    const isOther = then.kind !== KIND.file || !isSameInode(now, then);
    const isProbable = now.hasContent && now.sizeBytes === then.sizeBytes && isSameMtime(now, then);
    this.#readOrWait(isOther, isProbable);
  }

  /** `isProbable`: the expected content is of the same path, size and time. */
  #readOrWait(mayBeMovedHere: boolean, isProbable = false): void {
    const now = this.#now;
    if (now.kind === KIND.file && now.links > 1 && this.#isLinked(now)) {
      this.#linkedCount++;
      this.draft.judge(VERDICT.linked);
      return;
    }
    if (now.kind === KIND.file) {
      if (this.#options.salvage?.contentOf(now) === true) now.flags |= JOB_FLAG.trusted;
      else {
        this.filesToRead++;
        this.bytesToRead += now.sizeBytes;
        if (mayBeMovedHere && this.#options.judging.trustInode && now.sizeBytes > 0) {
          this.draft.judge(VERDICT.second);
          if (isProbable) now.flags |= JOB_FLAG.probable;
          this.#waiting.add(now);
          return;
        }
      }
    }
    this.draft.judge(VERDICT.first);
    this.#first.add(now);
  }

  #isLinked(now: Entry): boolean {
    const key = linkKey(now);
    if (this.#linked.has(key)) return true;
    this.#linked.add(key);
    return false;
  }

  /** One more reading of the parent's index, for the inodes of the files that are new at their paths. */
  #lookForMoved(): void {
    const waiting = this.#waiting.take();
    const now = new Entry();
    const then = this.#then;
    const wanted = new Map<number, number>();
    const decoder = new RecordDecoder(waiting);
    for (let ordinal = 0; decoder.next(now); ordinal++) wanted.set(inodeKey(now), ordinal);
    const found = new Map<number, Uint8Array>();
    const encoder = new RecordEncoder();
    const parent = this.#options.parent?.();
    while (parent?.next(then) === true) {
      if (then.kind !== KIND.file || !then.hasContent) continue;
      const ordinal = wanted.get(inodeKey(then));
      if (ordinal === undefined || found.has(ordinal)) continue;
      encoder.reset();
      encoder.add(then);
      found.set(ordinal, encoder.take());
    }
    decoder.open(waiting);
    const candidate = new RecordDecoder();
    for (let ordinal = 0; decoder.next(now); ordinal++) {
      const record = found.get(ordinal);
      if (record !== undefined) {
        candidate.open(record);
        if (candidate.next(then) && mayBeMoved(now, then)) this.#expectMoved(now, then);
      }
      now.flags &= ~JOB_FLAG.probable;
      this.#second.add(now);
    }
  }

  /** `then` has the inode of `now`, which may also be given away anew: what was at the path of `now` may be the better
   *  guess. */
  #expectMoved(now: Entry, then: Entry): void {
    const isPlain = isPlainMove(now, then, this.#options.judging);
    const isSameSize = now.sizeBytes === then.sizeBytes;
    const isBetter = (now.flags & JOB_FLAG.probable) === 0 || (isSameSize && isSameMtime(now, then));
    // Of another size it can only share pieces.
    const isUseful = isSameSize || Math.min(now.sizeBytes, then.sizeBytes) > PIECE_BYTES;
    if (!isBetter || !isUseful) return;
    now.takeContent(then);
    now.flags |= FLAG.moved;
    if (isPlain) {
      now.xattrs = then.xattrs;
      now.flags |= JOB_FLAG.trusted;
      this.filesToRead--;
      this.bytesToRead -= now.sizeBytes;
    }
    this.#options.explain?.(now, "moved");
  }
}
