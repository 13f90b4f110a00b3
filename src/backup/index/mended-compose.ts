/** @module As compose.ts, of sections that may be damaged: what cannot be told is a run of entries of a zone.
 *  (1) The runs are in the order of paths; those of a zone stand where its entries would.
 *  (2) A difference of which a page is lost costs what that page does: what stands before and behind it in the base is
 *      counted from both ends. */
import { Segments } from "./compose.ts";
import { isDamage } from "./damage.ts";
import { readDirectory, rebuildDirectory } from "./directory.ts";
import { type IndexPages, PAGE } from "./frames.ts";
import { countOps, OP, parseOps } from "./ops.ts";
import { RecordPages } from "./pages.ts";
import { MalformedRecord } from "./varint.ts";

/** Entries of which nothing is known. */
export interface Zone {
  /** Place in the chain of the index whose bytes are damaged. */
  readonly layer: number;
  /** How many they are is not known either: it counts as one. */
  readonly isUncounted: boolean;
  readonly text: string;
}

export interface MendedComposition {
  readonly sources: readonly RecordPages[];
  /** Those from `sources.length` on are zones. */
  readonly segments: Segments;
  readonly zones: readonly Zone[];
  /** Directories that had to be made again. */
  readonly isRebuilt: boolean;
}

export interface MendedSection {
  readonly frames: IndexPages;
  /** Entries of the index up to here, as another place than the section tells; null: it is not known. */
  readonly entries: number | null;
}

export function composeMended(chain: readonly MendedSection[]): MendedComposition {
  const composer = new Composer(chain);
  for (let layer = 0; layer < chain.length; layer++) composer.add(layer);
  return composer;
}

class Composer implements MendedComposition {
  readonly sources: RecordPages[] = [];
  readonly zones: Zone[] = [];
  segments = new Segments();
  isRebuilt = false;
  readonly #chain: readonly MendedSection[];

  constructor(chain: readonly MendedSection[]) {
    this.#chain = chain;
  }

  add(layer: number): void {
    const { frames } = this.#chain[layer] as MendedSection;
    const kind = layer === 0 ? PAGE.full : PAGE.delta;
    let text = "";
    let pages: RecordPages;
    try {
      const directory = readDirectory(frames);
      if (directory.kind !== kind) throw new MalformedRecord("an index of another kind");
      pages = new RecordPages(frames, directory);
    } catch (error) {
      if (!isDamage(error)) throw error;
      text = error.message;
      this.isRebuilt = true;
      const baseCount = layer === 0 || this.#isUncounted() ? null : this.segments.entries;
      pages = new RecordPages(
        frames,
        rebuildDirectory(frames, { kind, baseCount, entries: this.#entriesOf(layer) }),
      );
    }
    this.sources.push(pages);
    if (layer === 0) this.#addFull(pages, text);
    else this.#addDelta(layer, pages, text);
  }

  #isUncounted(): boolean {
    return this.zones.some(({ isUncounted }) => isUncounted);
  }

  /** As the next difference or the archive's footer tells. */
  #entriesOf(layer: number): number | null {
    const next = this.#chain[layer + 1];
    try {
      if (next !== undefined) return readDirectory(next.frames).baseCount;
    } catch (error) {
      if (!isDamage(error)) throw error;
    }
    return this.#chain[layer]?.entries ?? null;
  }

  #zone(into: Segments, layer: number, entries: number | null, text: string): void {
    if (entries === 0) return;
    const source = this.#chain.length + this.zones.length;
    this.zones.push({ layer, isUncounted: entries === null, text });
    into.push(source, 0, entries ?? 1);
  }

  #addFull(pages: RecordPages, text: string): void {
    const { lost } = pages.directory;
    const before = lost === null ? pages.records : pages.firstOrdinal(lost.page);
    if (before > 0) this.segments.push(0, 0, before);
    if (lost !== null) this.#zone(this.segments, 0, lost.entries, text);
    if (before < pages.records) this.segments.push(0, before, pages.records - before);
  }

  #addDelta(layer: number, pages: RecordPages, text: string): void {
    const result = new Segments();
    const fault = this.#apply(layer, pages, text, result);
    this.segments = result;
    if (fault === null) return;
    // It cannot be laid over its base: only paths tell what it leaves as it was.
    this.segments = new Segments();
    const isCounted = pages.directory.lost === null || pages.directory.lost.entries !== null;
    this.#zone(this.segments, layer, isCounted ? pages.entries : null, fault);
  }

  /** Text: it does not fit its base. */
  #apply(layer: number, pages: RecordPages, text: string, result: Segments): string | null {
    const base = this.segments;
    if (pages.baseCount !== null && pages.baseCount !== base.entries) {
      return "a difference to an index of another length";
    }
    const steps = stepsOf(pages);
    const { lost } = steps;
    const { front, back } = steps;
    const used = front.uses + back.uses;
    const made = front.makes + back.makes;
    if (used > base.entries || made > pages.entries) return "a difference to an index of another length";
    if (lost === null && (used !== base.entries || made !== pages.entries)) {
      return "a difference that makes more or fewer entries than it says";
    }
    front.apply(base, 0, layer, 0, result);
    if (lost !== null) {
      const isCounted = pages.directory.lost === null || pages.directory.lost.entries !== null;
      this.#zone(result, layer, isCounted ? pages.entries - made : null, text === "" ? lost.text : text);
    }
    back.apply(base, base.entries - back.uses, layer, steps.backOrdinal, result);
    return null;
  }
}

/** Ops of pages one after the other. */
class Steps {
  uses = 0;
  makes = 0;
  readonly #ops: Uint8Array[] = [];

  add(ops: Uint8Array): void {
    const { copied, dropped, inserted } = countOps(ops);
    this.uses += copied + dropped;
    this.makes += copied + inserted;
    this.#ops.push(ops);
  }

  /** From the base's entry `from` and the section's record `ordinal` on. */
  apply(base: Segments, from: number, source: number, ordinal: number, into: Segments): void {
    const at = new BaseCursor(base, from);
    let inserted = ordinal;
    for (const ops of this.#ops) {
      for (const [op, count] of parseOps(ops)) {
        if (op === OP.insert) {
          into.push(source, inserted, count);
          inserted += count;
        } else at.take(count, op === OP.copy ? into : null);
      }
    }
  }
}

/** Goes over an index's runs. */
class BaseCursor {
  readonly #base: Segments;
  #segment = 0;
  #used = 0;

  constructor(base: Segments, from: number) {
    this.#base = base;
    this.take(from, null);
  }

  /** The next `count` entries; null: they are left out. */
  take(count: number, into: Segments | null): void {
    const base = this.#base;
    for (let rest = count; rest > 0; ) {
      const part = Math.min(rest, base.count(this.#segment) - this.#used);
      into?.push(base.source(this.#segment), base.first(this.#segment) + this.#used, part);
      rest -= part;
      this.#used += part;
      if (this.#used < base.count(this.#segment)) continue;
      this.#segment++;
      this.#used = 0;
    }
  }
}

interface DeltaSteps {
  /** Of the pages before the first lost one, and of those behind the last. */
  readonly front: Steps;
  readonly back: Steps;
  /** Of the first record behind. */
  readonly backOrdinal: number;
  readonly lost: { readonly text: string } | null;
}

function stepsOf(pages: RecordPages): DeltaSteps {
  const front = new Steps();
  let back = new Steps();
  let lost: { text: string } | null = null;
  let backOrdinal = 0;
  for (let page = 0; page < pages.pages; page++) {
    try {
      const { ops } = pages.read(page);
      const { inserted } = countOps(ops);
      if (inserted !== pages.firstOrdinal(page + 1) - pages.firstOrdinal(page)) {
        throw new MalformedRecord("a page whose ops insert more or less than it holds");
      }
      (lost === null ? front : back).add(ops);
    } catch (error) {
      if (!isDamage(error)) throw error;
      lost ??= { text: error.message };
      back = new Steps();
      backOrdinal = pages.firstOrdinal(page + 1);
    }
  }
  return { front, back, backOrdinal, lost };
}
