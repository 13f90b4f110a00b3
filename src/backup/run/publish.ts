/** @module The second half of a run: the scan's list, the verdicts and what the jobs answered become the new index, in
 *  order, in one pass. The parent's index is read beside it once more. */
import { assert } from "../../base/assert.ts";
import { comparePaths, Entry, type EntrySource, FLAG, KIND, SPAN_NUMBERS } from "../entry.ts";
import { BatchSource, type Draft, VERDICT } from "./draft.ts";
import { JOB_FLAG, JOB_FLAGS } from "./jobs.ts";
import { sameBytes } from "./judge.ts";
import { linkKey } from "./survey.ts";

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
  /** Number of the backup that is being made. */
  readonly pack: number;
  readonly out: IndexOut;
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

export function publish({ draft, parent, first, second, pack, out }: PublishInput): PublishCounts {
  const counts = emptyCounts();
  const scan = draft.entries();
  const answers = { [VERDICT.first]: new BatchSource(first), [VERDICT.second]: new BatchSource(second) };
  const links = new Map<string, Entry>();
  const [now, then, answer] = [new Entry(), new Entry(), new Entry()];
  let thenValid = parent?.next(then) ?? false;
  const drop = () => {
    out.drop(then);
    thenValid = parent?.next(then) ?? false;
  };
  const count = (entry: Entry) => {
    counts.entries++;
    if (entry.kind !== KIND.file) return;
    counts.files++;
    counts.bytes += entry.sizeBytes;
  };
  for (let ordinal = 0; scan.next(now); ordinal++) {
    while (thenValid && comparePaths(then.path, then.pathBytes, now.path, now.pathBytes) < 0) {
      counts.deleted++;
      drop();
    }
    const hadParent = thenValid && comparePaths(then.path, then.pathBytes, now.path, now.pathBytes) === 0;
    const verdict = draft.verdictOf(ordinal);
    if (verdict === VERDICT.keep) {
      assert(hadParent, "an entry to keep that the parent does not have");
      count(then);
      counts.unchanged++;
      out.keep(then);
      thenValid = parent?.next(then) ?? false;
      continue;
    }
    let result = now;
    if (verdict === VERDICT.linked) {
      const original = links.get(linkKey(now));
      if (original === undefined) {
        // Its first name was gone when it was to be read; the file lives on under this one: the next run reads it.
        result.clearContent();
        result.flags |= FLAG.unreadable;
      } else {
        result.takeContent(original);
        result.xattrs = original.xattrs;
        result.flags |= original.flags;
      }
    } else {
      assert(answers[verdict].next(answer), "a job without an answer");
      assert(
        comparePaths(answer.path, answer.pathBytes, now.path, now.pathBytes) === 0,
        "an answer to another question",
      );
      result = answer;
      if ((answer.flags & JOB_FLAG.gone) !== 0) {
        counts.vanished++;
        if (hadParent) {
          counts.deleted++;
          drop();
        }
        continue;
      }
      if (answer.kind === KIND.file && answer.links > 1) links.set(linkKey(now), copyOf(answer));
    }
    result.flags &= ~JOB_FLAGS;
    if (isOld(result, pack)) result.flags |= FLAG.unchanged;
    count(result);
    if ((result.flags & FLAG.inconsistent) !== 0) counts.inconsistent++;
    if ((result.flags & FLAG.unreadable) !== 0) counts.unreadable++;
    if ((result.flags & FLAG.rotten) !== 0) counts.rotten++;
    if (hadParent && isSame(result, then)) {
      counts.unchanged++;
      out.keep(then);
      thenValid = parent?.next(then) ?? false;
      continue;
    }
    if ((result.flags & FLAG.moved) !== 0) counts.moved++;
    if (hadParent) {
      counts.changed++;
      drop();
    } else counts.fresh++;
    out.put(result);
  }
  while (thenValid) {
    counts.deleted++;
    drop();
  }
  return counts;
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
    now.mtimeSeconds === then.mtimeSeconds &&
    now.mtimeNs === then.mtimeNs &&
    now.ctimeSeconds === then.ctimeSeconds &&
    now.ctimeNs === then.ctimeNs &&
    now.inodeLow === then.inodeLow &&
    now.inodeHigh === then.inodeHigh &&
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

function copyOf(entry: Entry): Entry {
  const copy = new Entry();
  copy.takeContent(entry);
  copy.xattrs = entry.xattrs;
  copy.flags = entry.flags;
  return copy;
}
