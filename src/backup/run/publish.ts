/** @module The second half of a run: the scan's list, the verdicts and what the jobs answered become the new index, in
 *  order, in one pass. The parent's index is read beside it once more.
 *
 *  (1) Whatever the parent has and the scan has not is deleted, unless the scan could not look there.
 *  (2) All names of a file have the facts of one look at it: the answer to the job that read it. */
import { assert } from "../../base/assert.ts";
import { comparePaths, Entry, type EntrySource, FLAG, KIND, SPAN_NUMBERS } from "../entry.ts";
import { RecordDecoder, RecordEncoder } from "../index/record.ts";
import { BatchSource, type Draft, VERDICT } from "./draft.ts";
import { isSameCtime, isSameInode, isSameMtime, linkKey, sameBytes, takeAttributes } from "./identity.ts";
import { JOB_FLAG, JOB_FLAGS } from "./jobs.ts";
import type { Unseen } from "./unseen.ts";

/** What a flag says of one backup only, not of the file. */
const PASSING = FLAG.unchanged | FLAG.moved;

/** Where the new index goes: a full one, or a difference to the parent's. */
export interface IndexOut {
  /** The parent's next entry stands. */
  keep(then: Entry): void;
  /** The parent's next entry is not in the new index, or comes anew by `put`. */
  drop(then: Entry): void;
  put(now: Entry): void;
}

export interface PublishCounts {
  entries: number;
  files: number;
  /** Of the files as they lie on the disk, holes and other names included. */
  bytes: number;
  unchanged: number;
  fresh: number;
  changed: number;
  deleted: number;
  moved: number;
  vanished: number;
  inconsistent: number;
  unreadable: number;
  rotten: number;
}

export interface PublishInput {
  readonly draft: Draft;
  readonly parent: EntrySource | null;
  /** Answers to the jobs of each pass, in order. */
  readonly first: readonly Uint8Array[];
  readonly second: readonly Uint8Array[];
  readonly third?: readonly Uint8Array[];
  /** Number of the backup that is being made. */
  readonly pack: number;
  readonly out: IndexOut;
  /** What the scan could not look at; absent: it saw everything. */
  readonly unseen?: Unseen;
  /** Hears of a file that no job could tell about. */
  readonly complain?: (entry: Entry, text: string) => void;
}

export function emptyCounts(): PublishCounts {
  return {
    entries: 0,
    files: 0,
    bytes: 0,
    unchanged: 0,
    fresh: 0,
    changed: 0,
    deleted: 0,
    moved: 0,
    vanished: 0,
    inconsistent: 0,
    unreadable: 0,
    rotten: 0,
  };
}

export function publish(input: PublishInput): PublishCounts {
  return new Publisher(input).run();
}

class Publisher {
  readonly #counts = emptyCounts();
  readonly #input: PublishInput;
  readonly #links = new LinkedFiles();
  readonly #answers: Readonly<Record<number, BatchSource>>;
  readonly #now = new Entry();
  readonly #then = new Entry();
  readonly #answer = new Entry();
  #thenValid = false;

  constructor(input: PublishInput) {
    this.#input = input;
    this.#answers = {
      [VERDICT.first]: new BatchSource(input.first),
      [VERDICT.second]: new BatchSource(input.second),
      [VERDICT.third]: new BatchSource(input.third ?? []),
    };
  }

  run(): PublishCounts {
    const scan = this.#input.draft.entries();
    const now = this.#now;
    this.#nextThen();
    for (let ordinal = 0; scan.next(now); ordinal++) {
      while (this.#thenValid && this.#order() < 0) this.#miss();
      this.#publish(ordinal, this.#thenValid && this.#order() === 0);
    }
    while (this.#thenValid) this.#miss();
    return this.#counts;
  }

  #nextThen(): void {
    this.#thenValid = this.#input.parent?.next(this.#then) ?? false;
  }

  #order(): number {
    const [now, then] = [this.#now, this.#then];
    return comparePaths(then.path, then.pathBytes, now.path, now.pathBytes);
  }

  #publish(ordinal: number, hadParent: boolean): void {
    const { draft, pack, out } = this.#input;
    const counts = this.#counts;
    const then = this.#then;
    const verdict = draft.verdictOf(ordinal);
    if (verdict === VERDICT.keep) {
      assert(hadParent, "an entry to keep that the parent does not have");
      this.#keep();
      return;
    }
    const result =
      verdict === VERDICT.linked ? this.#linked(hadParent) : this.#answered(this.#answers[verdict]);
    if (result === null) {
      counts.vanished++;
      if (hadParent) this.#drop();
      return;
    }
    result.flags &= ~JOB_FLAGS;
    if (isOld(result, pack)) result.flags |= FLAG.unchanged;
    if ((result.flags & FLAG.inconsistent) !== 0) counts.inconsistent++;
    if (result.kind === KIND.file && (result.flags & FLAG.unreadable) !== 0) counts.unreadable++;
    if ((result.flags & FLAG.rotten) !== 0) counts.rotten++;
    if (hadParent && isSame(result, then)) {
      this.#keep();
      return;
    }
    if ((result.flags & FLAG.moved) !== 0) counts.moved++;
    if (hadParent) {
      counts.changed++;
      out.drop(then);
      this.#nextThen();
    } else counts.fresh++;
    this.#count(result);
    out.put(result);
  }

  /** null: it was gone when it was to be read. */
  #answered(answers: BatchSource | undefined): Entry | null {
    const answer = this.#answer;
    assert(answers?.next(answer) === true, "a job without an answer");
    assert(
      comparePaths(answer.path, answer.pathBytes, this.#now.path, this.#now.pathBytes) === 0,
      "an answer to another question",
    );
    if ((answer.flags & JOB_FLAG.gone) !== 0) return null;
    if (answer.kind === KIND.file && answer.links > 1) this.#links.add(answer);
    return answer;
  }

  /** Another name of a file that a job was to read. */
  #linked(hadParent: boolean): Entry {
    const now = this.#now;
    const then = this.#then;
    if (this.#links.fill(now)) return now;
    // Neither that name nor the one that was tried in its stead led to it. The next run reads it.
    now.flags |= FLAG.unreadable;
    const isKept = hadParent && then.kind === KIND.file && then.hasContent;
    if (isKept) {
      now.takeContent(then);
      now.xattrs = then.xattrs;
      now.sizeBytes = then.sizeBytes;
    }
    const after = isKept ? "the last backup's content is kept" : "it is not in this backup";
    this.#input.complain?.(now, `its other name was gone when it was to be read; ${after}`);
    return now;
  }

  /** The parent's entry stands. */
  #keep(): void {
    this.#count(this.#then);
    this.#counts.unchanged++;
    this.#input.out.keep(this.#then);
    this.#nextThen();
  }

  #drop(): void {
    this.#counts.deleted++;
    this.#input.out.drop(this.#then);
    this.#nextThen();
  }

  /** The parent has it, the scan has not. */
  #miss(): void {
    const { unseen, out, pack } = this.#input;
    const then = this.#then;
    if (unseen?.has(then.path, then.pathBytes) !== true) {
      this.#drop();
      return;
    }
    if (then.kind !== KIND.file) {
      this.#keep();
      return;
    }
    this.#counts.unreadable++;
    if ((then.flags & FLAG.unreadable) !== 0) {
      this.#keep();
      return;
    }
    // So that the next run reads it: nobody knows whether it is still what it was.
    this.#counts.changed++;
    this.#count(then);
    out.drop(then);
    then.flags = (then.flags & ~FLAG.moved) | FLAG.unreadable;
    if (isOld(then, pack)) then.flags |= FLAG.unchanged;
    out.put(then);
    this.#nextThen();
  }

  #count(entry: Entry): void {
    this.#counts.entries++;
    if (entry.kind !== KIND.file) return;
    this.#counts.files++;
    this.#counts.bytes += entry.sizeBytes;
  }
}

/** Files of several names, as they were read under one of them; a record each, since there may be a million. */
class LinkedFiles {
  readonly #records = new Map<string, Uint8Array>();
  readonly #encoder = new RecordEncoder();
  readonly #decoder = new RecordDecoder();
  readonly #read = new Entry();

  add(answer: Entry): void {
    this.#encoder.reset();
    this.#encoder.add(answer);
    this.#records.set(linkKey(answer), this.#encoder.take());
  }

  /** All but the path; false: it was not read. */
  fill(now: Entry): boolean {
    const record = this.#records.get(linkKey(now));
    if (record === undefined) return false;
    const read = this.#read;
    this.#decoder.open(record);
    this.#decoder.next(read);
    takeAttributes(now, read);
    now.takeContent(read);
    now.xattrs = read.xattrs;
    // It is not this name that was found elsewhere.
    now.flags |= read.flags & ~FLAG.moved;
    return true;
  }
}

/** Nothing of its content is in the backup that is being made. */
function isOld(entry: Entry, pack: number): boolean {
  if (!entry.hasContent || entry.spanCount === 0) return false;
  for (let span = 0; span < entry.spanCount; span++)
    if (entry.spans[span * SPAN_NUMBERS] === pack) return false;
  return true;
}

/** Read again, and found to be what the parent has in every respect. */
function isSame(now: Entry, then: Entry): boolean {
  return (
    now.kind === then.kind &&
    now.mode === then.mode &&
    now.uid === then.uid &&
    now.gid === then.gid &&
    now.sizeBytes === then.sizeBytes &&
    isSameMtime(now, then) &&
    isSameCtime(now, then) &&
    isSameInode(now, then) &&
    now.links === then.links &&
    now.attributes === then.attributes &&
    now.specialDevice === then.specialDevice &&
    (now.flags & ~PASSING) === (then.flags & ~PASSING) &&
    sameBytes(now.linkTarget, then.linkTarget) &&
    sameBytes(now.xattrs, then.xattrs) &&
    sameContent(now, then)
  );
}

function sameContent(now: Entry, then: Entry): boolean {
  if (now.hasContent !== then.hasContent || now.spanCount !== then.spanCount) return false;
  if (now.hasContent && !sameBytes(now.sha256, then.sha256)) return false;
  for (let at = 0; at < now.spanCount * SPAN_NUMBERS; at++)
    if (now.spans[at] !== then.spans[at]) return false;
  return true;
}
