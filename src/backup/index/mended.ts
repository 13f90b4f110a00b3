/** @module Reads the index of a backup although some of it is damaged: what can be read, and, where there are gaps, what
 *  the parent's index has there and the backup surely left as it was. Each gap is told.
 *  (1) What is given out is in the backup, as it is given out. Nothing else is.
 *  (2) What is in the backup and is not given out lies in a gap that is told, once the list has been read beyond it.
 *  (3) Of an index that is whole it is the index, and there is no gap. */
import { comparePaths, Entry, type EntrySource, isWithin } from "../entry.ts";
import type { Changes } from "./changes.ts";
import { Segments } from "./compose.ts";
import { isDamage } from "./damage.ts";
import { type Index, takeOver } from "./lookup.ts";
import { composeMended, type MendedComposition, type MendedSection } from "./mended-compose.ts";
import { RecordCursor, type RecordPages } from "./pages.ts";

/** One archive's part of an index. */
export interface MendedLayer extends MendedSection {
  /** What its backup changed against its parent. */
  changes(): Changes;
  /** The parent's index; null: there is none that could be read. */
  parent(): MendedIndex | null;
}

/** A part of the index that cannot be read. */
export interface Gap {
  /** It lies between these two, of which both are known; null: from the beginning, or to the end. */
  readonly after: Uint8Array | null;
  readonly before: Uint8Array | null;
  /** What is wrong. */
  readonly text: string;
  /** Entries in it that the parent's index gave, as they are in this backup. */
  readonly mended: number;
  /** Entries in it of which nothing is known but `doubtful`; null: that is not known either. */
  readonly missing: number | null;
  /** Paths that the parent has in it, changed since or removed: the first ones, and how many in all. */
  readonly doubtful: readonly Uint8Array[];
  readonly doubtfulCount: number;
}

/** Named one by one, of a gap. */
const DOUBTFUL_MAX = 10_000;

/** `chain`: the full index first, then each difference, the backup's own last. */
export function openMendedIndex(chain: readonly MendedLayer[]): MendedIndex {
  return new MendedIndex(chain);
}

export class MendedIndex implements Index {
  readonly count: number;
  readonly #chain: readonly MendedLayer[];
  readonly #composition: MendedComposition;
  readonly #gaps = new Map<string, Gap>();

  constructor(chain: readonly MendedLayer[]) {
    this.#chain = chain;
    this.#composition = composeMended(chain);
    this.count = this.#composition.segments.entries;
  }

  /** Those that were come upon up to now, in the order of that. */
  get gaps(): readonly Gap[] {
    return [...this.#gaps.values()];
  }

  /** Some of it was damaged: gaps, or what could be made again. */
  get isDamaged(): boolean {
    const { zones, isRebuilt } = this.#composition;
    return this.#gaps.size > 0 || zones.length > 0 || isRebuilt;
  }

  cursor(): EntrySource {
    return this.#cursor(this.#composition.segments, null);
  }

  find(path: Uint8Array): Entry | null {
    const { sources, segments, zones } = this.#composition;
    const entry = new Entry();
    try {
      for (let source = sources.length - 1; source >= 0; source--) {
        const ordinal = (sources[source] as RecordPages).find(path, entry);
        if (ordinal < 0 || !segments.has(source, ordinal)) continue;
        if (source !== sources.length - 1) takeOver(entry);
        return entry;
      }
      if (zones.length === 0) return null;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    const isFirst = this.under(path).next(entry);
    return isFirst && comparePaths(entry.path, entry.pathBytes, path, path.length) === 0 ? entry : null;
  }

  under(path: Uint8Array): EntrySource {
    if (path.length === 0) return this.cursor();
    return this.#cursor(this.#clipped(path), path);
  }

  #clipped(path: Uint8Array): Segments {
    const { sources, segments } = this.#composition;
    const ahead = (other: Uint8Array, bytes: number): boolean =>
      comparePaths(other, bytes, path, path.length) < 0;
    const aheadOrWithin = (other: Uint8Array, bytes: number): boolean =>
      isWithin(other, bytes, path) || ahead(other, bytes);
    const bounds = sources.map((pages) => ({
      from: pages.reach(ahead, false),
      to: pages.reach(aheadOrWithin, true),
    }));
    const clipped = new Segments();
    /** Zones that may lie in it; one that something ahead follows does not. */
    let zones: number[] = [];
    for (let segment = 0; segment < segments.length; segment++) {
      const bound = bounds[segments.source(segment)];
      if (bound === undefined) {
        zones.push(segment);
        continue;
      }
      const first = segments.first(segment);
      const end = first + segments.count(segment);
      if (first < bound.from) zones = [];
      for (const zone of zones)
        clipped.push(segments.source(zone), segments.first(zone), segments.count(zone));
      zones = [];
      const [begin, stop] = [Math.max(first, bound.from), Math.min(end, bound.to)];
      if (begin < stop) clipped.push(segments.source(segment), begin, stop - begin);
      if (end > bound.to) return clipped;
    }
    for (const zone of zones) clipped.push(segments.source(zone), segments.first(zone), segments.count(zone));
    return clipped;
  }

  #cursor(segments: Segments, within: Uint8Array | null): EntrySource {
    const known = (gap: Gap): void => {
      const key = [gap.after, gap.before].map((path) => (path === null ? "-" : hex(path))).join("/");
      this.#gaps.set(key, gap);
    };
    return new MendedCursor(this.#chain, this.#composition, { segments, within }, known);
  }
}

function hex(path: Uint8Array): string {
  return Buffer.from(path).toString("hex");
}

/** What could not be read since the last entry. */
interface Loss {
  /** The lowest one of those that are damaged. */
  layer: number;
  count: number;
  isUncounted: boolean;
  readonly text: string;
}

type Step = "entry" | "lost" | "end";

class MendedCursor implements EntrySource {
  readonly #chain: readonly MendedLayer[];
  readonly #composition: MendedComposition;
  readonly #segments: Segments;
  readonly #within: Uint8Array | null;
  readonly #known: (gap: Gap) => void;
  readonly #cursors: (RecordCursor | undefined)[] = [];
  readonly #candidates: (Candidates | undefined)[] = [];
  readonly #ahead = new Entry();
  #segment = -1;
  #source = 0;
  /** The next record of the segment, and how many are left of it. */
  #ordinal = 0;
  #left = 0;
  /** The source's cursor is there. */
  #isPlaced = false;
  /** The last one that was read. */
  #lastSource = -1;
  #lastOrdinal = 0;
  #loss: Loss | null = null;
  #gap: OpenGap | null = null;

  constructor(
    chain: readonly MendedLayer[],
    composition: MendedComposition,
    { segments, within }: { segments: Segments; within: Uint8Array | null },
    known: (gap: Gap) => void,
  ) {
    this.#chain = chain;
    this.#composition = composition;
    this.#segments = segments;
    this.#within = within;
    this.#known = known;
  }

  next(entry: Entry): boolean {
    for (;;) {
      if (this.#gap !== null) {
        if (this.#gap.next(entry)) return true;
        this.#known(this.#gap.told());
        this.#gap = null;
      }
      const step = this.#step(entry);
      if (step === "entry") return true;
      if (step === "end") return false;
      this.#openGap();
    }
  }

  /** Looks for the next entry that can be read: the gap is between it and the last one. */
  #openGap(): void {
    const after = this.#lastPath();
    const [source, ordinal] = [this.#lastSource, this.#lastOrdinal];
    let step: Step = "lost";
    while (step === "lost") step = this.#step(this.#ahead);
    const { path, pathBytes } = this.#ahead;
    const before = step === "entry" ? path.slice(0, pathBytes) : null;
    if (step === "entry") {
      // It comes again.
      this.#ordinal--;
      this.#left++;
      this.#isPlaced = false;
      [this.#lastSource, this.#lastOrdinal] = [source, ordinal];
    }
    const loss = this.#loss;
    if (loss === null) return;
    this.#loss = null;
    this.#candidates[loss.layer] ??= new Candidates(this.#chain, loss.layer, this.#within);
    const candidates = this.#candidates[loss.layer] as Candidates;
    // Of a part of the index it is not known how much of what is lost lies in it.
    const isCounted = !loss.isUncounted && this.#within === null;
    this.#gap = new OpenGap(candidates, {
      after,
      before,
      text: loss.text,
      lost: isCounted ? loss.count : null,
    });
  }

  #lastPath(): Uint8Array | null {
    if (this.#lastSource < 0) return null;
    const cursor = new RecordCursor(this.#composition.sources[this.#lastSource] as RecordPages);
    cursor.seek(this.#lastOrdinal);
    cursor.next(this.#ahead);
    return this.#ahead.path.slice(0, this.#ahead.pathBytes);
  }

  #step(entry: Entry): Step {
    if (this.#left === 0 && !this.#nextSegment()) return "end";
    const { sources, zones } = this.#composition;
    const zone = zones[this.#source - sources.length];
    if (zone !== undefined) return this.#lose(zone.layer, this.#left, zone.text, zone.isUncounted);
    const pages = sources[this.#source] as RecordPages;
    this.#cursors[this.#source] ??= new RecordCursor(pages);
    const cursor = this.#cursors[this.#source] as RecordCursor;
    try {
      if (!this.#isPlaced) cursor.seek(this.#ordinal);
      this.#isPlaced = true;
      if (!cursor.next(entry)) return this.#lose(this.#source, this.#left, "it ends too early", false);
    } catch (error) {
      if (!isDamage(error)) throw error;
      const end = pages.firstOrdinal(pages.pageOf(this.#ordinal) + 1);
      return this.#lose(this.#source, Math.min(this.#left, end - this.#ordinal), error.message, false);
    }
    this.#lastSource = this.#source;
    this.#lastOrdinal = this.#ordinal++;
    this.#left--;
    if (this.#source !== sources.length - 1) takeOver(entry);
    return "entry";
  }

  #lose(layer: number, count: number, text: string, isUncounted: boolean): "lost" {
    this.#loss ??= { layer, count: 0, isUncounted: false, text };
    const loss = this.#loss;
    loss.layer = Math.min(loss.layer, layer);
    loss.count += count;
    loss.isUncounted ||= isUncounted;
    this.#ordinal += count;
    this.#left -= count;
    this.#isPlaced = false;
    return "lost";
  }

  #nextSegment(): boolean {
    if (++this.#segment >= this.#segments.length) {
      this.#segment = this.#segments.length;
      return false;
    }
    this.#source = this.#segments.source(this.#segment);
    this.#ordinal = this.#segments.first(this.#segment);
    this.#left = this.#segments.count(this.#segment);
    this.#isPlaced = false;
    return true;
  }
}

/** What the parent of a damaged layer has, in order. */
class Candidates {
  /** What has changed since. */
  readonly #changes: readonly Changes[];
  readonly #source: EntrySource | null;
  readonly #entry = new Entry();
  #isHeld = false;

  constructor(chain: readonly MendedLayer[], layer: number, within: Uint8Array | null) {
    const parent = chain[layer]?.parent() ?? null;
    this.#changes = chain.slice(layer).map((above) => above.changes());
    this.#source = parent === null ? null : within === null ? parent.cursor() : parent.under(within);
  }

  /** The next one behind `after` and ahead of `before`, and whether this backup has it as it is. */
  next(after: Uint8Array | null, before: Uint8Array | null, entry: Entry): "sure" | "doubtful" | "none" {
    for (;;) {
      if (!this.#isHeld) this.#isHeld = this.#source?.next(this.#entry) ?? false;
      if (!this.#isHeld) return "none";
      const { path, pathBytes } = this.#entry;
      if (before !== null && comparePaths(path, pathBytes, before, before.length) >= 0) return "none";
      this.#isHeld = false;
      if (after !== null && comparePaths(path, pathBytes, after, after.length) <= 0) continue;
      const name = path.subarray(0, pathBytes);
      if (this.#changes.some((changes) => changes.mayHold(name))) {
        entry.setPath(name);
        return "doubtful";
      }
      entry.takeFacts(this.#entry);
      entry.takeContent(this.#entry);
      takeOver(entry);
      return "sure";
    }
  }
}

/** A gap while it is filled. */
class OpenGap {
  readonly #candidates: Candidates;
  readonly #bounds: Pick<Gap, "after" | "before" | "text"> & { readonly lost: number | null };
  readonly #doubtful: Uint8Array[] = [];
  #doubtfulCount = 0;
  #mended = 0;

  constructor(
    candidates: Candidates,
    bounds: Pick<Gap, "after" | "before" | "text"> & { readonly lost: number | null },
  ) {
    this.#candidates = candidates;
    this.#bounds = bounds;
  }

  next(entry: Entry): boolean {
    for (;;) {
      const found = this.#candidates.next(this.#bounds.after, this.#bounds.before, entry);
      if (found === "none") return false;
      if (found === "sure") {
        this.#mended++;
        return true;
      }
      if (this.#doubtfulCount++ < DOUBTFUL_MAX) this.#doubtful.push(entry.path.slice(0, entry.pathBytes));
    }
  }

  told(): Gap {
    const { after, before, text, lost } = this.#bounds;
    return {
      after,
      before,
      text,
      mended: this.#mended,
      missing: lost === null ? null : lost - this.#mended,
      doubtful: lost === this.#mended ? [] : this.#doubtful,
      doubtfulCount: lost === this.#mended ? 0 : this.#doubtfulCount,
    };
  }
}
