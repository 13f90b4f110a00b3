/** @module Model of one device's journal: ring, cache members, marks; no bytes, only whose item lies where. */
import { check } from "./promises.ts";
import type { Random } from "./random.ts";
import { STRIPE_BYTES } from "./schedule.ts";

const HEADER_BYTES = 512;
/** Item of an entry that is only padding. */
export const PAD = -1;

export interface Entry {
  readonly j: number;
  readonly endJ: number;
  readonly item: number;
  readonly synchronize: boolean;
}

function entryBytes(dataBytes: number): number {
  return HEADER_BYTES + Math.ceil(dataBytes / 512) * 512;
}

export class Journal {
  readonly entries: Entry[] = [];
  received = 0;
  /** End of the place that is being filled. */
  reserved = 0;
  cached = 0;
  durable = 0;
  taken = 0;
  onTape = 0;
  /** onTape as the members' headers have it. */
  checkpoint = 0;
  demoted = false;
  private padding = 0;

  constructor(
    readonly ringBytes: number,
    readonly cacheBytes: number,
  ) {}

  private endOfPlace(bytes: number): { pad: number; end: number } {
    const left = this.ringBytes - (this.received % this.ringBytes);
    const pad = bytes > left ? left : 0;
    return { pad, end: this.received + pad + bytes };
  }

  private hasRoomTo(end: number): boolean {
    const ringFree = this.demoted ? this.cached : Math.min(this.cached, this.taken);
    return end <= ringFree + this.ringBytes && end <= this.checkpoint + this.cacheBytes;
  }

  get reserving(): boolean {
    return this.reserved > this.received;
  }

  /** A place for an entry with so much data; false: no room. */
  reserve(dataBytes: number): boolean {
    const { pad, end } = this.endOfPlace(entryBytes(dataBytes));
    if (!this.hasRoomTo(end)) return false;
    this.padding = pad;
    this.reserved = end;
    return true;
  }

  /** The data is all there. */
  append(item: number, synchronize: boolean): Entry {
    if (this.padding > 0) this.push(this.received + this.padding, PAD, false);
    return this.push(this.reserved, item, synchronize);
  }

  /** A barrier fills the stripe up. */
  padToStripe(): boolean {
    const end = Math.ceil(this.received / STRIPE_BYTES) * STRIPE_BYTES;
    if (this.reserving || end === this.received || !this.hasRoomTo(end)) return false;
    this.push(end, PAD, false);
    this.reserved = end;
    return true;
  }

  private push(endJ: number, item: number, synchronize: boolean): Entry {
    const entry: Entry = { j: this.received, endJ, item, synchronize };
    this.entries.push(entry);
    this.received = endJ;
    return entry;
  }

  /** The ring still holds everything from here on. */
  inRing(j: number): boolean {
    return j >= Math.max(this.reserved, this.received) - this.ringBytes;
  }

  /** The cache's members hold it. */
  inCache(entry: Entry): boolean {
    return entry.endJ <= this.cached && entry.j >= Math.max(this.reserved, this.received) - this.cacheBytes;
  }

  /** Index of the first entry at or after j. */
  indexFrom(j: number): number {
    const at = this.entries.findIndex((entry) => entry.j >= j);
    return at === -1 ? this.entries.length : at;
  }

  /** The first entry with content from here on. */
  contentFrom(index: number): Entry | undefined {
    let at = index;
    while (this.entries[at]?.item === PAD) at++;
    return this.entries[at];
  }

  checkMarks(): void {
    const { received, cached, durable, taken, onTape, checkpoint } = this;
    check(durable <= cached && cached <= received, "durable <= cached <= received");
    check(onTape <= received && taken <= received, "on tape <= received");
    check(checkpoint <= onTape, "checkpoint <= on tape");
    check(received - onTape <= this.cacheBytes, "the head passed a pinned extent (rule 10)");
  }

  /** The whole of it is to go to another cartridge. */
  restart(): void {
    this.onTape = this.checkpoint = 0;
  }

  /** The gateway died: what a walk over the members finds. */
  crash(random: Random): void {
    const sure = this.indexFrom(this.durable);
    let end = sure;
    while (end < this.entries.length && this.entries[end]!.endJ <= this.cached && random.chance(0.7)) end++;
    this.entries.length = end;
    this.received = this.entries[end - 1]?.endJ ?? 0;
    this.reserved = this.received;
    this.onTape = Math.min(this.checkpoint, this.received);
    this.checkpoint = this.taken = this.onTape;
    this.cached = this.durable = this.received;
    this.demoted = true;
  }
}
