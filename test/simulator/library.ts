/** @module Model drives, cartridges and robot. They keep what was really written: the number of the host's item that each
 *  position holds. What goes on a medium is compared with what the host sent at the moment it goes there. */
import type { Barcode, DriveId } from "../../src/base/brands.ts";
import type { SenseCode } from "../../src/director/classify.ts";
import { check } from "./promises.ts";
import type { Random } from "./random.ts";
import type { DrivePlan, RobotFault, WriteFault } from "./schedule.ts";

/** A block that a dying drive left half written. */
export const TORN = -1;

export class Cartridge {
  /** The item at each position. */
  readonly content: number[] = [];
  /** It lost what it had confirmed: nobody can be held to it any more. */
  spoiled = false;
  /** Position before which everything was confirmed to the gateway. */
  confirmed = 0;

  constructor(
    readonly barcode: Barcode,
    readonly bad: boolean,
  ) {}

  /** Blocks that can be read, from the beginning. */
  goodBlocks(): number {
    const { content } = this;
    return content[content.length - 1] === TORN ? content.length - 1 : content.length;
  }

  /** ERASE (short) at this position. */
  endAt(position: number): void {
    if (position >= this.content.length) return;
    check(position >= this.confirmed, `erased from ${position}, confirmed to ${this.confirmed}`);
    this.content.length = position;
  }

  append(position: number, item: number): void {
    const { content } = this;
    if (position < content.length) {
      check(
        position >= this.confirmed,
        `position ${position} is overwritten, confirmed to ${this.confirmed}`,
      );
      content.length = position;
    }
    check(position === content.length, `a gap on the medium: ${position} after ${content.length}`);
    if (item !== TORN)
      check(
        item === position,
        `item ${item} goes to position ${position}: the image is not what the host sent`,
      );
    content.push(item);
  }
}

export type WriteOutcome =
  | { readonly kind: "good" }
  | { readonly kind: "sense"; readonly sense: SenseCode }
  | { readonly kind: "unreachable" }
  | { readonly kind: "hang" };

const GOOD: WriteOutcome = { kind: "good" };
const UNREACHABLE: WriteOutcome = { kind: "unreachable" };

function sense(key: number, asc: number, ascq: number, deferred = false): WriteOutcome {
  return { kind: "sense", sense: { key, asc, ascq, deferred } };
}

const HARDWARE = sense(4, 0x44, 0);
const WRITE_ERROR = sense(3, 0x0c, 0);

export class ModelDrive {
  cartridge: Cartridge | null = null;
  dead = false;
  private readonly buffer: number[] = [];
  private position = 0;
  private writes = 0;
  private deferred: WriteOutcome | null = null;
  private failsVerify: boolean;
  faultsHit = 0;

  constructor(
    readonly id: DriveId,
    readonly plan: DrivePlan,
    private readonly random: Random,
  ) {
    this.dead = plan.deadOnArrival;
    this.failsVerify = plan.failsVerify;
  }

  /** Where the next write goes. */
  locate(position: number): void {
    this.buffer.length = 0;
    this.deferred = null;
    this.position = position;
  }

  write(item: number): WriteOutcome {
    if (this.dead) return UNREACHABLE;
    if (this.deferred !== null) return this.reportDeferred();
    const fault = this.plan.writeFaults.get(++this.writes);
    if (fault !== undefined) return this.fail(fault, item);
    if (this.cartridge?.bad === true && this.random.chance(0.1)) return this.fail("mediumError", item);
    this.buffer.push(item);
    this.flush(this.plan.bufferBlocks);
    return GOOD;
  }

  /** All that was taken goes to the medium. */
  synchronize(): WriteOutcome {
    if (this.dead) return UNREACHABLE;
    if (this.deferred !== null) return this.reportDeferred();
    this.flush(0);
    return GOOD;
  }

  /** READ POSITION: blocks on the medium. */
  blocksOnMedium(): number {
    return this.cartridge === null ? 0 : Math.min(this.position, this.cartridge.content.length);
  }

  /** Reads back what is there, or says why not. */
  readBack(): WriteOutcome {
    if (this.dead) return UNREACHABLE;
    if (this.failsVerify) {
      this.failsVerify = false;
      this.faultsHit++;
      this.dead = true;
      return HARDWARE;
    }
    if (this.deferred === null) this.flush(0);
    this.deferred = null;
    this.buffer.length = 0;
    return GOOD;
  }

  repair(): void {
    this.dead = false;
    this.buffer.length = 0;
    this.deferred = null;
  }

  private reportDeferred(): WriteOutcome {
    const outcome = this.deferred ?? GOOD;
    this.deferred = null;
    return outcome;
  }

  /** Leaves `keep` blocks in the buffer. */
  private flush(keep: number): void {
    while (this.buffer.length > keep && this.cartridge !== null)
      this.cartridge.append(this.position++, this.buffer.shift()!);
  }

  /** Some of the buffer still reached the medium, the rest is lost; perhaps a block was cut in two. */
  private loseBuffer(mayTear: boolean): void {
    this.flush(this.random.between(0, this.buffer.length));
    const torn = mayTear && this.buffer.length > 0 && this.random.chance(0.5);
    if (torn) this.cartridge?.append(this.position, TORN);
    this.buffer.length = 0;
  }

  private fail(fault: WriteFault, item: number): WriteOutcome {
    this.faultsHit++;
    this.buffer.push(item);
    switch (fault) {
      case "hardware":
        this.loseBuffer(true);
        this.dead = true;
        return HARDWARE;
      case "vanish":
        this.loseBuffer(false);
        this.dead = true;
        return UNREACHABLE;
      case "hang":
        this.loseBuffer(true);
        this.dead = true;
        return { kind: "hang" };
      // GOOD for a block that is lost already: the drive says so later.
      case "deferredHardware":
        this.loseBuffer(true);
        this.deferred = sense(4, 0x44, 0, true);
        return GOOD;
      case "deferredMedium":
        this.loseBuffer(true);
        this.deferred = sense(3, 0x0c, 0, true);
        return GOOD;
      case "mediumError":
        this.loseBuffer(true);
        return WRITE_ERROR;
      case "reset":
        this.loseBuffer(false);
        return sense(6, 0x29, 0);
    }
  }
}

export class Robot {
  moves = 0;
  failures = 0;
  lostTrack = 0;
  private freeAtMs = 0;

  constructor(private readonly faults: ReadonlyMap<number, RobotFault>) {}

  /** When a work of this length, asked for now, will be done: one thing after the other. */
  book(nowMs: number, workMs: number): number {
    this.freeAtMs = Math.max(this.freeAtMs, nowMs) + workMs;
    return this.freeAtMs - nowMs;
  }

  /** From a drive into a slot. */
  takeOut(from: ModelDrive, slots: Set<Cartridge>): "moved" | "failed" {
    const fault = this.faults.get(++this.moves);
    if (fault !== undefined) this.failures++;
    if (fault !== undefined && fault !== "destination") return "failed";
    if (from.cartridge !== null) slots.add(from.cartridge);
    from.cartridge = null;
    return "moved";
  }

  /** From a slot into a drive. */
  bring(cartridge: Cartridge, slots: Set<Cartridge>, to: ModelDrive): "moved" | RobotFault {
    const fault = this.faults.get(++this.moves);
    if (fault !== undefined) this.failures++;
    if (fault === "unknown") this.lostTrack++;
    if (fault === "source" || fault === "unknown") return fault;
    check(to.cartridge === null, `drive ${to.id} already holds a cartridge`);
    check(slots.delete(cartridge), "the cartridge lies in its slot");
    to.cartridge = cartridge;
    return fault ?? "moved";
  }

  move(from: ModelDrive, to: ModelDrive): "moved" | RobotFault {
    const fault = this.faults.get(++this.moves);
    if (fault !== undefined) this.failures++;
    if (fault === "unknown") this.lostTrack++;
    if (fault === "source" || fault === "unknown") return fault;
    check(to.cartridge === null, `drive ${to.id} already holds a cartridge`);
    to.cartridge = from.cartridge;
    from.cartridge = null;
    if (to.cartridge?.bad === false && to.cartridge.spoiled) to.cartridge.content.splice(-3);
    return fault ?? "moved";
  }
}
