/** @module Makes the plan of a verification from an index and the chunk tables that it points into. */
import type { ChunkTable } from "../archive/chunk-table.ts";
import { pathHash16 } from "../archive/chunk-writer.ts";
import { aligned, FRAME_HEADER_BYTES } from "../archive/layout.ts";
import { type Entry, FLAG, KIND, PIECE_BYTES, SPAN_NUMBERS as ENTRY_SPAN_NUMBERS } from "../entry.ts";
import {
  Growing,
  ITEM,
  ITEM_FLAG,
  ITEM_WORDS,
  orderItems,
  type PlanArchive,
  SPAN,
  SPAN_NUMBERS,
  STRING,
  STRING_NUMBERS,
  sharedWords,
  UNIT,
  UNIT_NUMBERS,
  type VerifyPlan,
} from "./plan.ts";
import { BATCH_BYTES } from "./share.ts";

/** SHA-256 of nothing. */
const EMPTY_SHA = new Uint8Array(Bun.SHA256.hash(new Uint8Array(0)) as Uint8Array);

/** Hashing holes takes as long as hashing data: files with more are checked piece by piece. */
const HOLE_BYTES_MAX = 1024 * 1024 * 1024;

/** An archive that is looked into. */
export interface PlannedArchive extends PlanArchive {
  readonly table: ChunkTable;
  /** Frames lie in [from, to). */
  readonly from: number;
  readonly to: number;
}

interface Placed extends PlannedArchive {
  /** Chunk n of it is gid base + n. */
  readonly base: number;
}

export interface Complaint {
  readonly ordinal: number;
  readonly text: string;
}

const FOREIGN = -1;
const MISSING = -2;

export class PlanBuilder {
  readonly complaints: Complaint[] = [];
  readonly damage: string[] = [];
  /** Entries added. */
  count = 0;
  readonly #quick: boolean;
  readonly #cached: boolean;
  readonly #own: Placed;
  readonly #archives: Placed[] = [];
  readonly #byPack = new Map<number, Placed | typeof FOREIGN | typeof MISSING>();
  readonly #archiveOf: ((pack: number) => PlannedArchive | null) | null;
  #gids = 0;
  #used = new Uint8Array(0);
  readonly #items = new Growing(Uint32Array, ITEM_WORDS * 64);
  readonly #itemGids = new Growing(Float64Array, 64);
  readonly #strings = new Growing(Float64Array, STRING_NUMBERS * 64);
  readonly #stringShas = new Growing(Uint32Array, 8 * 64);
  readonly #stringsOverUnits: number[] = [];
  readonly #spans = new Growing(Float64Array, SPAN_NUMBERS * 64);
  readonly #hash = new Uint8Array(32);
  readonly #hashWords = new Uint32Array(this.#hash.buffer);

  /** `archiveOf`: finds the other archives that the index points into (null: it is not there); null: leave them. */
  constructor(
    options: { readonly quick: boolean; readonly cached: boolean },
    own: PlannedArchive,
    archiveOf: ((pack: number) => PlannedArchive | null) | null,
  ) {
    this.#quick = options.quick;
    this.#cached = options.cached;
    this.#archiveOf = archiveOf;
    this.#own = this.#place(own);
    if (!options.quick) for (let chunk = 0; chunk < own.table.count; chunk++) this.#used[chunk] = 1;
  }

  /** The next entry of the index. */
  add(entry: Entry): void {
    const ordinal = this.count++;
    if (entry.kind !== KIND.file || !entry.hasContent) return;
    const kept = (entry.flags & FLAG.unreadable) !== 0;
    let [here, elsewhere, holeBytes, bytes] = [0, 0, 0, 0];
    let gid = -1;
    let oneUnit = true;
    const { spans } = entry;
    for (let span = 0; span < entry.spanCount; span++) {
      const at = span * ENTRY_SPAN_NUMBERS;
      const pack = spans[at] as number;
      const length = spans[at + 3] as number;
      bytes += length;
      if (pack === 0) {
        holeBytes += length;
        continue;
      }
      const place = this.#gid(pack, spans[at + 1] as number);
      if (place === MISSING) {
        this.complaints.push({
          ordinal,
          text: `its data is not there: backup ${pack}, chunk ${spans[at + 1]}`,
        });
        return;
      }
      if (place === FOREIGN) elsewhere++;
      else {
        here++;
        if (gid >= 0 && gid !== place) oneUnit = false;
        gid = place;
      }
    }
    if (bytes !== entry.sizeBytes && !kept) {
      this.complaints.push({ ordinal, text: `${entry.sizeBytes} bytes long, but ${bytes} are stored` });
      return;
    }
    if (here === 0) this.#withoutData(entry, ordinal, elsewhere + holeBytes);
    else if (this.#quick) this.#pieces(entry, ordinal, 1);
    else if (elsewhere > 0 || holeBytes > HOLE_BYTES_MAX) this.#pieces(entry, ordinal);
    else if (here === 1 && holeBytes === 0) {
      const item = this.#item(entry, ordinal, gid, spans[2] as number, bytes, ITEM_FLAG.sha);
      this.#setSha(this.#items.array, item + ITEM.sha, entry);
    } else if (oneUnit && here <= this.#pieceSpans(entry)) {
      const item = this.#item(
        entry,
        ordinal,
        gid,
        this.#firstOffset(entry),
        bytes - holeBytes,
        ITEM_FLAG.runs,
      );
      this.#items.array[item + ITEM.string] = this.#string(entry, ordinal, bytes);
    } else {
      this.#pieces(entry, ordinal);
      this.#stringsOverUnits.push(this.#string(entry, ordinal, bytes));
    }
  }

  #withoutData(entry: Entry, ordinal: number, others: number): void {
    if (others > 0 || entry.sizeBytes > 0 || Buffer.compare(entry.sha256, EMPTY_SHA) === 0) return;
    this.complaints.push({ ordinal, text: "it is empty, but its SHA-256 is that of something" });
  }

  #place(archive: PlannedArchive): Placed {
    const placed = { ...archive, base: this.#gids };
    this.#gids += archive.table.count;
    const larger = new Uint8Array(this.#gids);
    larger.set(this.#used);
    this.#used = larger;
    this.#archives.push(placed);
    this.#byPack.set(archive.pack, placed);
    return placed;
  }

  #gid(pack: number, chunk: number): number {
    let archive: Placed | number | undefined = pack === this.#own.pack ? this.#own : this.#byPack.get(pack);
    if (archive === undefined) {
      const found = this.#archiveOf === null ? FOREIGN : this.#archiveOf(pack);
      archive = found === null ? MISSING : found === FOREIGN ? FOREIGN : this.#place(found as PlannedArchive);
      if (typeof archive === "number") this.#byPack.set(pack, archive as typeof FOREIGN);
    }
    if (typeof archive === "number") return archive;
    if (!archive.table.has(chunk)) return MISSING;
    this.#used[archive.base + chunk] = 1;
    return archive.base + chunk;
  }

  /** Items for the pieces that lie in archives at hand, up to `max` of them. */
  #pieces(entry: Entry, ordinal: number, max = Number.POSITIVE_INFINITY): void {
    const { spans } = entry;
    let position = 0;
    let items = 0;
    for (let span = 0; span < entry.spanCount && items < max; ) {
      const at = span * ENTRY_SPAN_NUMBERS;
      const pack = spans[at] as number;
      const gid = pack === 0 ? FOREIGN : this.#gid(pack, spans[at + 1] as number);
      if (gid < 0) {
        position += spans[at + 3] as number;
        span++;
        continue;
      }
      const piece = Math.floor(position / PIECE_BYTES);
      const first = spans[at + 2] as number;
      let bytes = 0;
      // The runs of a piece follow each other in its chunk, with holes between them in the file.
      for (; span < entry.spanCount; span++) {
        const here = span * ENTRY_SPAN_NUMBERS;
        const length = spans[here + 3] as number;
        if (entry.sizeBytes > PIECE_BYTES && Math.floor(position / PIECE_BYTES) !== piece) break;
        if (spans[here] !== 0) {
          if (spans[here] !== pack || spans[here + 1] !== spans[at + 1]) break;
          if (spans[here + 2] !== first + bytes) break;
          bytes += length;
        }
        position += length;
      }
      const hash = this.#quick ? undefined : entry.pieceHashes?.[piece];
      const item = this.#item(entry, ordinal, gid, first, bytes, hash === undefined ? 0 : ITEM_FLAG.piece);
      if (hash !== undefined) {
        this.#items.array[item + ITEM.sha] = Number(hash & 0xffffffffn);
        this.#items.array[item + ITEM.sha + 1] = Number(hash >> 32n);
      }
      items++;
    }
  }

  /** How many data spans belong to the file's first piece. */
  #pieceSpans(entry: Entry): number {
    const { spans } = entry;
    let end = -1;
    let count = 0;
    for (let span = 0; span < entry.spanCount; span++) {
      const at = span * ENTRY_SPAN_NUMBERS;
      if (spans[at] === 0) continue;
      if (end >= 0 && spans[at + 2] !== end) break;
      end = (spans[at + 2] as number) + (spans[at + 3] as number);
      count++;
    }
    return count;
  }

  #firstOffset(entry: Entry): number {
    for (let span = 0; span < entry.spanCount; span++)
      if (entry.spans[span * ENTRY_SPAN_NUMBERS] !== 0)
        return entry.spans[span * ENTRY_SPAN_NUMBERS + 2] as number;
    return 0;
  }

  #item(entry: Entry, ordinal: number, gid: number, offset: number, bytes: number, flag: number): number {
    // Content that came with another name keeps that one's header.
    const named =
      gid < this.#own.table.count &&
      entry.links <= 1 &&
      (entry.flags & (FLAG.moved | FLAG.unchanged | FLAG.unreadable)) === 0;
    const at = this.#items.more(ITEM_WORDS);
    const { array } = this.#items;
    array[at + ITEM.offset] = offset;
    array[at + ITEM.bytes] = bytes;
    array[at + ITEM.ordinal] = ordinal;
    array[at + ITEM.head] = named
      ? flag | ITEM_FLAG.path | pathHash16(entry.path.subarray(0, entry.pathBytes))
      : flag;
    const gids = this.#itemGids.more(1);
    this.#itemGids.array[gids] = gid;
    return at;
  }

  #setSha(words: Uint32Array, at: number, entry: Entry): void {
    this.#hash.set(entry.sha256);
    for (let word = 0; word < 8; word++) words[at + word] = this.#hashWords[word] as number;
  }

  #string(entry: Entry, ordinal: number, bytes: number): number {
    const at = this.#strings.more(STRING_NUMBERS);
    const sha = this.#stringShas.more(8);
    this.#setSha(this.#stringShas.array, sha, entry);
    const { array } = this.#strings;
    array[at + STRING.ordinal] = ordinal;
    array[at + STRING.spanFrom] = this.#spans.length / SPAN_NUMBERS;
    array[at + STRING.spanCount] = entry.spanCount;
    array[at + STRING.bytes] = bytes;
    for (let span = 0; span < entry.spanCount; span++) {
      const from = span * ENTRY_SPAN_NUMBERS;
      const pack = entry.spans[from] as number;
      const to = this.#spans.more(SPAN_NUMBERS);
      // Chunks' gids for now; finish() makes units of them.
      this.#spans.array[to + SPAN.unit] = pack === 0 ? -1 : this.#gid(pack, entry.spans[from + 1] as number);
      this.#spans.array[to + SPAN.offset] = entry.spans[from + 2] as number;
      this.#spans.array[to + SPAN.bytes] = entry.spans[from + 3] as number;
    }
    return at / STRING_NUMBERS;
  }

  finish(): VerifyPlan {
    const units: number[][] = this.#archives.map((archive) => this.#unitsOf(archive));
    const count = units.reduce((sum, list) => sum + list.length, 0);
    const numbers = new Float64Array(new SharedArrayBuffer(count * UNIT_NUMBERS * 8));
    const hashes = new BigUint64Array(new SharedArrayBuffer(count * 8));
    const unitOfGid = new Int32Array(this.#gids).fill(-1);
    const batches: number[] = [];
    let unit = 0;
    for (const [index, archive] of this.#archives.entries()) {
      const { table } = archive;
      const checksGaps = !this.#quick && archive === this.#own;
      let batchFrom = 0;
      let end = -1;
      for (const [place, number] of (units[index] ?? []).entries()) {
        const at = unit * UNIT_NUMBERS;
        const offset = table.offset(number);
        const next = units[index]?.[place + 1];
        const frameEnd = offset + aligned(FRAME_HEADER_BYTES + table.storedBytes(number));
        if (offset !== end || frameEnd - batchFrom > BATCH_BYTES) {
          batches.push(unit);
          batchFrom = offset;
        }
        end = frameEnd;
        numbers[at + UNIT.archive] = index;
        numbers[at + UNIT.offset] = offset;
        numbers[at + UNIT.number] = number;
        numbers[at + UNIT.storedBytes] = table.storedBytes(number);
        numbers[at + UNIT.plainBytes] = table.plainBytes(number);
        if (checksGaps) numbers[at + UNIT.gapEnd] = next === undefined ? archive.to : table.offset(next);
        hashes[unit] = table.hash(number);
        unitOfGid[archive.base + number] = unit++;
      }
    }
    batches.push(unit);
    return this.#plan(numbers, hashes, unitOfGid, batches);
  }

  #plan(
    units: Float64Array,
    unitHashes: BigUint64Array,
    unitOfGid: Int32Array,
    batches: readonly number[],
  ): VerifyPlan {
    const count = unitHashes.length;
    const unitOfItem = new Int32Array(this.#itemGids.length);
    for (let item = 0; item < unitOfItem.length; item++)
      unitOfItem[item] = unitOfGid[this.#itemGids.array[item] as number] as number;
    const spans = this.#spans.array.subarray(0, this.#spans.length);
    for (let at = SPAN.unit; at < spans.length; at += SPAN_NUMBERS)
      if ((spans[at] as number) >= 0) spans[at] = unitOfGid[spans[at] as number] as number;
    const strings = this.#strings.array;
    const order = sharedWords(this.#stringsOverUnits.length);
    const bytesOf = (string: number) => strings[string * STRING_NUMBERS + STRING.bytes] as number;
    order.set(this.#stringsOverUnits.sort((a, b) => bytesOf(b) - bytesOf(a)));
    const owners = new Int32Array(new SharedArrayBuffer(count * 4)).fill(-1);
    for (const string of order) {
      const from = strings[string * STRING_NUMBERS + STRING.spanFrom] as number;
      const spanCount = strings[string * STRING_NUMBERS + STRING.spanCount] as number;
      for (let span = from; span < from + spanCount; span++) {
        const unit = spans[span * SPAN_NUMBERS + SPAN.unit] as number;
        if (unit >= 0 && owners[unit] === -1) owners[unit] = string;
      }
    }
    const batchWords = sharedWords(batches.length);
    batchWords.set(batches);
    return {
      archives: this.#archives.map(({ pack, path, salt }) => ({ pack, path, salt })),
      units,
      unitHashes,
      items: this.#items.array,
      ...orderItems(unitOfItem, count),
      strings,
      stringHashes: new Uint8Array(this.#stringShas.array.buffer),
      spans,
      stringOrder: order,
      owners,
      batches: batchWords,
      quick: this.#quick,
      cached: this.#cached,
      counters: new Int32Array(new SharedArrayBuffer(64)),
    };
  }

  /** Numbers of the chunks to be looked at, as they lie in the file. */
  #unitsOf(archive: Placed): number[] {
    const { table, base, pack } = archive;
    const numbers: number[] = [];
    let [last, sorted] = [0, true];
    for (let number = 0; number < table.count; number++) {
      if (this.#used[base + number] === 0 || !table.has(number)) continue;
      const offset = table.offset(number);
      sorted &&= offset > last;
      last = offset;
      numbers.push(number);
    }
    if (!sorted) numbers.sort((a, b) => table.offset(a) - table.offset(b));
    let end = archive.from;
    for (const number of numbers) {
      const offset = table.offset(number);
      const frameEnd = offset + aligned(FRAME_HEADER_BYTES + table.storedBytes(number));
      if (offset < end)
        this.damage.push(`the chunk table of backup ${pack} has chunk ${number} in another's place`);
      end = frameEnd;
    }
    return numbers;
  }
}
