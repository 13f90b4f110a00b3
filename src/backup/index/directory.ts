/** @module The directory of an index section: read, or, where it or pages are damaged, made again from the pages that
 *  can be read. */
import { comparePaths, Entry } from "../entry.ts";
import { isDamage } from "./damage.ts";
import { type IndexPages, joinFrames, NOTHING, PAGE } from "./frames.ts";
import { countOps } from "./ops.ts";
import { RecordDecoder } from "./record-decoder.ts";
import { ByteReader, MalformedRecord } from "./varint.ts";

export interface Directory {
  /** Of its pages. */
  readonly kind: typeof PAGE.full | typeof PAGE.delta;
  /** Entries of the index that this one is a difference to; null: a full one. */
  readonly baseCount: number | null;
  readonly entries: number;
  /** First frame of each page, and of what is behind them. */
  readonly firstFrame: readonly number[];
  /** Ordinal of each page's first record, and the count of all behind them. */
  readonly firstOrdinal: readonly number[];
  readonly firstPath: readonly Uint8Array[];
  /** Of one that was made again: the page that stands for all frames of which nothing is known, with no records of its
   *  own. Null: there is none. */
  readonly lost: { readonly page: number; readonly entries: number | null } | null;
}

/** Throws MalformedRecord. */
export function readDirectory(frames: IndexPages): Directory {
  const directoryFrame = directoryFrameOf(frames);
  const [directoryKind, bytes] = joinFrames(frames, directoryFrame, frames.count);
  if (directoryKind !== PAGE.fullDirectory && directoryKind !== PAGE.deltaDirectory) {
    throw new MalformedRecord("an index without a directory");
  }
  const kind = directoryKind === PAGE.fullDirectory ? PAGE.full : PAGE.delta;
  const reader = new ByteReader(bytes);
  const baseCount = kind === PAGE.delta ? reader.varint() : null;
  const entries = reader.varint();
  const pages = reader.varint();
  if (pages > directoryFrame) throw new MalformedRecord("an index of more pages than frames");
  const lists = readPages(reader, { kind, pages, directoryFrame });
  if (baseCount === null && lists.firstOrdinal[pages] !== entries) {
    throw new MalformedRecord("an index whose pages hold more or less than it says");
  }
  return { kind, baseCount, entries, lost: null, ...lists };
}

function directoryFrameOf(frames: IndexPages): number {
  if (frames.count === 0) throw new MalformedRecord("an index without a directory");
  const last = frames.count - 1;
  const reader = new ByteReader(frames.page(last));
  reader.byte();
  const first = last - reader.varint();
  if (first < 0) throw new MalformedRecord("an index without a directory");
  return first;
}

function readPages(
  reader: ByteReader,
  { kind, pages, directoryFrame }: { kind: number; pages: number; directoryFrame: number },
): Pick<Directory, "firstFrame" | "firstOrdinal" | "firstPath"> {
  const firstFrame: number[] = [];
  const firstOrdinal: number[] = [0];
  const firstPath: Uint8Array[] = [];
  let records = 0;
  let before: Uint8Array | null = null;
  for (let page = 0; page < pages; page++) {
    const frame = reader.varint();
    const previous = firstFrame[page - 1];
    if (previous === undefined ? frame !== 0 : frame <= previous) {
      throw new MalformedRecord("an index whose pages are out of order");
    }
    const count = reader.varint();
    const path = reader.take(reader.varint());
    records += count;
    if (count === 0 && kind === PAGE.full) throw new MalformedRecord("an index with an empty page");
    if (count !== 0) {
      if (before !== null && comparePaths(before, before.length, path, path.length) >= 0) {
        throw new MalformedRecord("an index whose pages are out of order");
      }
      before = path;
    }
    firstFrame.push(frame);
    firstOrdinal.push(records);
    // A page without records stands where the next one does: the search never ends on it.
    firstPath.push(count === 0 ? (before ?? NOTHING) : path);
  }
  firstFrame.push(directoryFrame);
  const beyond = firstFrame[pages - 1] ?? -1;
  if (!reader.done || beyond >= directoryFrame || (pages === 0 && directoryFrame !== 0)) {
    throw new MalformedRecord("an index whose directory does not fit its pages");
  }
  if (!Number.isSafeInteger(records)) throw new MalformedRecord("an index of too many entries");
  return { firstFrame, firstOrdinal, firstPath };
}

/** What is known of a section from elsewhere; null: it is not. */
export interface Expected {
  readonly kind: typeof PAGE.full | typeof PAGE.delta;
  readonly entries: number | null;
  /** Of a delta: entries of the index that it is a difference to. */
  readonly baseCount: number | null;
}

/** A page that is whole. */
interface Run {
  readonly first: number;
  /** The frame behind its last one. */
  readonly end: number;
  readonly page: {
    readonly records: number;
    readonly firstPath: Uint8Array;
    /** Entries of the index that it makes, and those of the base that it uses up. */
    readonly makes: number;
    readonly uses: number;
  };
}

/** A directory made of the pages themselves. What is damaged between the first damaged page and the last one counts as
 *  one page, which is lost: nothing tells where in it the whole ones stand. */
export function rebuildDirectory(frames: IndexPages, { kind, entries, baseCount }: Expected): Directory {
  const { runs, end } = runsOf(frames, kind);
  const holes: number[] = [];
  for (let run = 0; run <= runs.length; run++) {
    if ((runs[run]?.first ?? end) !== (runs[run - 1]?.end ?? 0)) holes.push(run);
  }
  const [firstHole = -1, lastHole = -1] = [holes.at(0), holes.at(-1)];
  const kept = runs.filter((_, run) => firstHole < 0 || run < firstHole || run >= lastHole);
  const makes = kept.reduce((sum, { page }) => sum + page.makes, 0);
  const uses = kept.reduce((sum, { page }) => sum + page.uses, 0);
  // Of a difference also what it leaves out must be known.
  const isWhole =
    (entries === makes || (entries === null && holes.length === 0)) &&
    (kind === PAGE.full || uses === baseCount);
  const lostPage = isWhole ? -1 : Math.max(firstHole, 0);
  const firstFrame: number[] = [];
  const firstOrdinal: number[] = [0];
  const firstPath: Uint8Array[] = [];
  const add = (frame: number, records: number, path: Uint8Array): void => {
    firstOrdinal.push((firstOrdinal.at(-1) ?? 0) + records);
    firstPath.push(records === 0 ? (firstPath.at(-1) ?? NOTHING) : path);
    firstFrame.push(frame);
  };
  for (let run = 0; run <= kept.length; run++) {
    if (run === lostPage) add(kept[run - 1]?.end ?? 0, 0, NOTHING);
    const there = kept[run];
    if (there !== undefined) add(there.first, there.page.records, there.page.firstPath);
  }
  // Where no page is lost, what cannot be read behind the last one is the directory.
  firstFrame.push(isWhole ? (kept.at(-1)?.end ?? 0) : end);
  const lostEntries = entries === null || entries < makes ? null : entries - makes;
  return {
    kind,
    baseCount: kind === PAGE.full ? null : baseCount,
    entries: isWhole ? makes : (entries ?? makes),
    firstFrame,
    firstOrdinal,
    firstPath,
    lost: isWhole ? null : { page: lostPage, entries: lostEntries },
  };
}

/** All pages that are whole, in order; `end`: the first frame that is surely none of them. */
function runsOf(frames: IndexPages, kind: number): { runs: Run[]; end: number } {
  const runs: Run[] = [];
  let end = frames.count;
  for (let frame = 0; frame < end; ) {
    const head = headOf(frames, frame);
    if (head !== null && head.kind !== kind) {
      end = Math.max(frame - head.part, runs.at(-1)?.end ?? 0);
      break;
    }
    if (head === null || head.part !== 0) {
      frame++;
      continue;
    }
    let next = frame + 1;
    for (; next < frames.count; next++) {
      const other = headOf(frames, next);
      if (other === null || other.kind !== kind || other.part !== next - frame) break;
    }
    try {
      const page = pageOf(joinFrames(frames, frame, next)[1], kind);
      runs.push({ first: frame, end: next, page });
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    frame = next;
  }
  return { runs, end };
}

function headOf(frames: IndexPages, number: number): { kind: number; part: number } | null {
  try {
    const reader = new ByteReader(frames.page(number));
    return { kind: reader.byte(), part: reader.varint() };
  } catch (error) {
    if (!isDamage(error)) throw error;
    return null;
  }
}

/** Throws MalformedRecord where the page is not whole. */
function pageOf(bytes: Uint8Array, kind: number): Run["page"] {
  const reader = new ByteReader(bytes);
  const ops = kind === PAGE.delta ? reader.take(reader.varint()) : NOTHING;
  const entry = new Entry();
  const decoder = new RecordDecoder(bytes.subarray(reader.at), true);
  let firstPath: Uint8Array = NOTHING;
  let records = 0;
  while (decoder.next(entry)) if (records++ === 0) firstPath = entry.path.slice(0, entry.pathBytes);
  if (kind === PAGE.full) return { records, firstPath, makes: records, uses: 0 };
  const { copied, dropped, inserted } = countOps(ops);
  if (inserted !== records) throw new MalformedRecord("a page whose ops insert more or less than it holds");
  return { records, firstPath, makes: copied + inserted, uses: copied + dropped };
}
