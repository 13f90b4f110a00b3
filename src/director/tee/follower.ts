/** @module The drive's reader of a journal: carries out entry after entry on the drive that it was given, and keeps
 *  the marks TAKEN and ON_TAPE (DESIGN "one journal, two readers", rules 1 to 4).
 *
 *  (1) TAKEN moves after the drive answered GOOD; ON_TAPE only by the drive's own word: its READ POSITION, or a
 *      synchronising WRITE FILEMARKS.
 *  (2) Entries are carried out in order, each at the position that it names; a write is never repeated.
 *  (3) Behind an error nothing more is carried out: the director decides (607).
 *  (4) An order of the host is carried out when everything received before it was, and was confirmed.
 *  (5) A follower that was given up moves no mark any more, whenever its call comes back (FOLLOW_EPOCH).
 *  (6) The tape is cut (a write after a movement, an erase) only when a checkpoint lies there: a journal that was walked
 *      from before the cut, and breaks off before it, would ask for blocks that the tape no longer has. */
import * as at from "../../../wasm/ring/layout.ts";
import type { DriveOutcome, TapeDrive } from "../../device/tape-drive.ts";
import { ERASE_6, LOAD_UNLOAD, READ_6 } from "../../scsi/opcodes.ts";
import type { DeviceMemory } from "./device-memory.ts";
import { type CacheReadPort, type EntryView, JournalReader } from "./journal-reader.ts";
import { OrderMailbox } from "./order.ts";

export interface FollowerSettings {
  /** The drive is asked what is on the medium after this many bytes (rule 3). */
  readonly confirmEveryBytes: number;
  readonly nowMs: () => number;
  /** Tells the drive when the next block was there for it; drives without such a figure ignore it. */
  readonly dataAvailableSince?: (ms: number) => void;
  /** A drive that does not answer a write for so long is given up (by main); movements may take ten times as long. */
  readonly answerWithinMs?: number;
  /** What a crash left: all of it lies in the cache and none in the ring; caught up when it is on tape. */
  readonly draining?: boolean;
}

/** "abandoned": it was given up while its drive hung; nothing of it counts any more. */
export type FollowStep = "worked" | "idle" | "failed" | "abandoned";

/** What the drive said when it failed: the director's evidence. */
export interface FollowFailure {
  readonly operation: string;
  readonly outcome: DriveOutcome | "journalUnreadable";
  readonly sense: Uint8Array;
  readonly text: string;
  readonly J: number;
  readonly position: number;
}

/** Moves the mark `on tape` with what belongs to it; whoever reads the four looks at the sequence before and after. */
export function setOnTape(device: DeviceMemory, J: number, position: number, sequence: number): void {
  device.set(at.ON_TAPE_SEQUENCE, -1);
  device.set(at.ON_TAPE_POSITION, position);
  device.set(at.ON_TAPE, J);
  device.set(at.ON_TAPE_SEQUENCE, sequence);
}

const UNCONFIRMED_MAX = 16384;
const IDLE_CONFIRM_MS = 20;
const INVALID_POSITION_SYNC_MS = 500;
const WOKEN_MS = 1000;
/** Movements, and an erasure of the whole tape, take so many times as long as a write at most. */
const MOVEMENT_TIMES = 10;
const ERASE_TIMES = 240;

export class Follower {
  failure: FollowFailure | null = null;
  /** Set once when the reader takes from the ring again after it was demoted. */
  caughtUp = false;
  readonly reader: JournalReader;

  private readonly orders: OrderMailbox;
  private readonly epoch: number;
  private J: number;
  private readonly writesFromJ: number;
  /** Where the drive stands; -1: not known. */
  private position: number;
  private readonly endJ = new Float64Array(UNCONFIRMED_MAX);
  private readonly endPosition = new Float64Array(UNCONFIRMED_MAX);
  private readonly endSequence = new Float64Array(UNCONFIRMED_MAX);
  private sequence = 0;
  private unconfirmedFirst = 0;
  private unconfirmed = 0;
  private bytesSinceConfirm = 0;
  private idleSinceMs = -1;
  private positionUsable = true;
  /** What is written next may cut the tape. */
  private mayCut = true;
  private waitsForCheckpoint = false;

  constructor(
    private readonly device: DeviceMemory,
    private readonly drive: TapeDrive,
    cache: CacheReadPort | null,
    private readonly settings: FollowerSettings,
    start: { readonly fromJ: number; readonly position: number },
  ) {
    this.epoch = device.word(at.FOLLOW_EPOCH);
    this.reader = new JournalReader(device, cache);
    this.orders = new OrderMailbox(device);
    this.writesFromJ = start.fromJ;
    // What was compared and found on the medium is gone through once more, unwritten: so ON_TAPE comes to its end with the
    // sequence number that belongs there, even where nothing follows.
    const onTape = device.get(at.ON_TAPE);
    this.J = this.takesFromDisk && onTape < start.fromJ ? onTape : start.fromJ;
    this.position = start.position;
    // A journal that is gone through again asks again for its checkpoints.
    if (device.get(at.WANT_CHECKPOINT) >= start.fromJ) device.set(at.WANT_CHECKPOINT, 0);
    device.setFigure(at.DRIVE_CALL_SINCE_MS, 0);
    device.set(at.DRIVE_POSITION, Math.max(0, start.position));
    if (device.word(at.FOLLOWER) === at.FOLLOWER_RING) device.set(at.TAKEN, this.J);
  }

  /** J up to which a sleeping Worker has nothing to do. */
  get waitsFor(): number {
    return this.waitsForCheckpoint ? Number.MAX_SAFE_INTEGER : this.J;
  }

  get takesFromDisk(): boolean {
    return this.device.word(at.FOLLOWER) === at.FOLLOWER_DISK;
  }

  /** Milliseconds after which it wants to look again though nobody wakes it. */
  get waitsMs(): number {
    if (this.waitsForCheckpoint) return WOKEN_MS;
    if (this.takesFromDisk) return 5;
    return this.unconfirmed > 0 ? IDLE_CONFIRM_MS : 1000;
  }

  /** Carries out one entry or one order. The watch on main sees since when. */
  step(): FollowStep {
    if (this.isAbandoned) return "abandoned";
    const { device } = this;
    device.setFigure(at.DRIVE_CALL_SINCE_MS, this.settings.nowMs());
    const step = this.work();
    if (this.isAbandoned) return "abandoned";
    device.setFigure(at.DRIVE_CALL_SINCE_MS, 0);
    return step;
  }

  private get isAbandoned(): boolean {
    return this.device.word(at.FOLLOW_EPOCH) !== this.epoch;
  }

  /** For how long the call that comes now may hang. */
  private allow(times: number): void {
    const limitMs = (this.settings.answerWithinMs ?? 0) * times;
    if (limitMs !== this.allowedMs) this.device.setFigure(at.DRIVE_CALL_LIMIT_MS, limitMs);
    this.allowedMs = limitMs;
  }
  private allowedMs = -1;

  private work(): FollowStep {
    this.allow(1);
    if (this.failure !== null) return "failed";
    const { device } = this;
    if (this.takesFromDisk && this.settings.draining !== true) this.promote();
    const received = device.get(at.RECEIVED);
    if (this.J >= received) {
      if (this.settings.draining === true) return this.finishDraining();
      if (this.orders.pending) return this.carryOutOrder();
      return this.whenIdle();
    }
    const outcome = this.reader.read(this.J, true);
    if (outcome === "entry" && !this.anchored) this.anchor(this.reader.entry.sequence);
    switch (outcome) {
      // Whatever it waits for may wait itself for room that only a confirmation frees: a full cache, for one.
      case "end":
        return this.whenIdle();
      case "unreadable":
        // Demoted and not cached yet: it will be.
        if (this.takesFromDisk && this.J + at.ENTRY_HEADER_BYTES > device.get(at.CACHED))
          return this.whenIdle();
        if (this.takesFromDisk && device.get(at.RECEIVED) - this.J < device.ringBytes)
          return this.waitForCache();
        return this.fail("read the journal", "journalUnreadable", this.reader.unreadableText);
      default:
        this.idleSinceMs = -1;
        return this.carryOut(this.reader.entry);
    }
  }

  /** What lies before the first entry was confirmed or read back: without this a full cache would never free its room. */
  private anchor(sequence: number): void {
    this.anchored = true;
    const { device, J } = this;
    const position = J < this.writesFromJ ? device.get(at.ON_TAPE_POSITION) : Math.max(0, this.position);
    if (device.get(at.ON_TAPE) <= J) setOnTape(device, J, position, sequence);
  }
  private anchored = false;

  private drained = false;
  private finishDraining(): FollowStep {
    if (this.drained) return "idle";
    if (this.unconfirmed > 0 && this.synchronize() !== "worked") return "failed";
    this.drained = true;
    this.caughtUp = true;
    return "worked";
  }

  /** The entry's end is not cached yet and its start is gone from the ring: the cache Worker is at it. */
  private waitForCache(): FollowStep {
    const entryBytes = this.reader.entry.J === this.J ? this.reader.entry.entryBytes : at.ENTRY_HEADER_BYTES;
    if (this.J + entryBytes > this.device.get(at.CACHED)) return this.whenIdle();
    return this.fail("read the journal", "journalUnreadable", this.reader.unreadableText);
  }

  private promote(): void {
    const { device } = this;
    const lag = device.get(at.RECEIVED) - this.J;
    if (lag > device.ringBytes / 4 && this.J + at.ENTRY_HEADER_BYTES <= device.get(at.CACHED)) return;
    if (device.ring.claim(this.J) !== 1) return;
    this.reader.forget();
    this.caughtUp = true;
  }

  private carryOut(entry: EntryView): FollowStep {
    const end = entry.J + entry.entryBytes;
    if (entry.J < this.writesFromJ) {
      this.take(end);
      return "worked";
    }
    if (entry.kind !== at.KIND_PAD && entry.count > 0) {
      if (entry.position !== this.position) this.mayCut = true;
      const outcome = this.allowCut(entry.position, entry.sequence);
      if (outcome !== "worked") return outcome;
    }
    if (entry.kind === at.KIND_BLOCK) {
      if (!this.standAt(entry.position)) return "failed";
      this.settings.dataAvailableSince?.(entry.receivedMs);
      const address = this.device.shared.base + entry.memoryAt + at.ENTRY_HEADER_BYTES;
      const step = entry.blockBytes > 0 ? entry.blockBytes : entry.dataBytes;
      for (let done = 0; done < entry.dataBytes; done += step) {
        const outcome = this.drive.write(address + done, step);
        if (this.isAbandoned) return "abandoned";
        if (outcome !== "good" && outcome !== "earlyWarning") return this.fail("write", outcome);
        this.position++;
      }
      this.remember(entry);
      this.device.addFigure(at.DRIVE_BYTES, entry.dataBytes);
      this.bytesSinceConfirm += entry.dataBytes;
      this.device.set(at.DRIVE_BLOCKS, this.device.get(at.DRIVE_BLOCKS) + entry.count);
    } else if (entry.kind === at.KIND_FILEMARKS) {
      const synchronize = (entry.flags & at.FLAG_SYNCHRONIZE) !== 0;
      if (entry.count > 0 && !this.standAt(entry.position)) return "failed";
      if (entry.count > 0 || synchronize) {
        const outcome = this.drive.writeFilemarks(entry.count, !synchronize);
        if (this.isAbandoned) return "abandoned";
        if (outcome !== "good" && outcome !== "earlyWarning") return this.fail("write filemarks", outcome);
      }
      this.position += entry.count;
      this.take(end);
      if (synchronize) this.confirmAll();
      return "worked";
    }
    this.take(end);
    if (
      this.bytesSinceConfirm >= this.settings.confirmEveryBytes ||
      this.unconfirmed === UNCONFIRMED_MAX ||
      this.device.get(at.WANT_ON_TAPE) > this.device.get(at.ON_TAPE)
    ) {
      return this.confirm(this.unconfirmed === UNCONFIRMED_MAX);
    }
    return "worked";
  }

  /** (6) "worked": the checkpoint lies here, or nothing is to be cut. `sequence`: of the entry at J; -1: ON_TAPE has it. */
  private allowCut(position: number, sequence: number): FollowStep {
    const { device, J } = this;
    this.waitsForCheckpoint = false;
    if (!this.mayCut) return "worked";
    // What drains a journal of the last run begins at the run's own last cut (cache/recovery).
    if (this.settings.draining !== true && device.cacheActive && device.get(at.CHECKPOINT) < J) {
      if (this.unconfirmed > 0 && this.synchronize() !== "worked") return "failed";
      if (this.device.get(at.WANT_CHECKPOINT) !== J) {
        setOnTape(device, J, position, sequence < 0 ? device.get(at.ON_TAPE_SEQUENCE) : sequence);
        device.set(at.WANT_CHECKPOINT, J);
      }
      device.wakeCache();
      this.waitsForCheckpoint = true;
      return "idle";
    }
    this.mayCut = false;
    return "worked";
  }

  private take(end: number): void {
    const { device } = this;
    const last = (this.unconfirmedFirst + this.unconfirmed) % UNCONFIRMED_MAX;
    this.endJ[last] = end;
    this.endPosition[last] = this.position;
    this.sequence = this.reader.entry.sequence + 1;
    this.endSequence[last] = this.sequence;
    this.unconfirmed++;
    this.J = end;
    device.set(at.DRIVE_POSITION, this.position);
    device.set(at.TAKEN, end);
    device.wakeFrontIfWanted();
  }

  private remember(entry: EntryView): void {
    const next = this.device.get(at.HISTORY_NEXT);
    const slot = at.HISTORY + (next % at.HISTORY_ENTRIES) * 16;
    this.device.setFigure(slot, entry.J);
    this.device.setFigure(slot + 8, entry.position);
    this.device.set(at.HISTORY_NEXT, next + 1);
  }

  /** The connection to the drive was lost. true: while nothing was under way, so it may be moved, and is located anew before
   *  the next entry. false: what it held unconfirmed may be gone; it is not to be touched, and the next write fails. */
  placeLost(): boolean {
    if (this.unconfirmed > 0) return false;
    this.position = -1;
    return true;
  }

  /** Brings the drive to a position; what it holds is confirmed first. */
  private standAt(position: number): boolean {
    if (this.position === position) return true;
    if (this.unconfirmed > 0 && this.synchronize() !== "worked") return false;
    this.allow(MOVEMENT_TIMES);
    const outcome = this.drive.locate(position);
    if (this.isAbandoned) return false;
    if (outcome !== "good") {
      this.fail("locate", outcome);
      return false;
    }
    this.position = position;
    return true;
  }

  // --- what is on the medium ---

  private confirmAll(): void {
    const { device } = this;
    if (this.unconfirmed > 0) setOnTape(device, this.J, this.position, this.sequence);
    this.unconfirmed = 0;
    this.bytesSinceConfirm = 0;
    device.wakeFrontIfWanted();
  }

  private confirmUpTo(onMedium: number): void {
    const { device } = this;
    let J = -1;
    let position = 0;
    let sequence = 0;
    while (this.unconfirmed > 0 && (this.endPosition[this.unconfirmedFirst] as number) <= onMedium) {
      J = this.endJ[this.unconfirmedFirst] as number;
      position = this.endPosition[this.unconfirmedFirst] as number;
      sequence = this.endSequence[this.unconfirmedFirst] as number;
      this.unconfirmedFirst = (this.unconfirmedFirst + 1) % UNCONFIRMED_MAX;
      this.unconfirmed--;
    }
    if (J < 0) return;
    setOnTape(device, J, position, sequence);
    device.wakeFrontIfWanted();
  }

  /** Asks the drive what is on the medium, without stopping it; `mustAll`: makes it write all. */
  private confirm(mustAll: boolean): FollowStep {
    this.bytesSinceConfirm = 0;
    if (!mustAll && this.positionUsable) {
      const outcome = this.drive.readPosition();
      if (this.isAbandoned) return "abandoned";
      if (outcome !== "good") return this.fail("read position", outcome);
      const { position } = this.drive;
      if (position.valid && position.position === this.position) {
        this.confirmUpTo(position.lastOnMedium);
        if (this.device.get(at.WANT_ON_TAPE) <= this.device.get(at.ON_TAPE)) return "worked";
        // Somebody waits for what the drive still holds, and nothing more comes to push it out.
        return this.J >= this.device.get(at.RECEIVED) ? this.synchronize() : "worked";
      }
      if (position.valid)
        return this.fail(
          "read position",
          "error",
          `drive stands at ${position.position}, expected ${this.position}`,
        );
      this.positionUsable = false;
    }
    return mustAll || this.device.get(at.WANT_ON_TAPE) > this.device.get(at.ON_TAPE)
      ? this.synchronize()
      : "worked";
  }

  private synchronize(): FollowStep {
    const outcome = this.drive.writeFilemarks(0, false);
    if (this.isAbandoned) return "abandoned";
    if (outcome !== "good" && outcome !== "earlyWarning") return this.fail("synchronise", outcome);
    this.confirmAll();
    return "worked";
  }

  private whenIdle(): FollowStep {
    if (this.unconfirmed === 0) return "idle";
    const nowMs = this.settings.nowMs();
    if (this.device.get(at.WANT_ON_TAPE) > this.device.get(at.ON_TAPE)) return this.synchronize();
    if (this.idleSinceMs < 0) this.idleSinceMs = nowMs;
    const idleMs = nowMs - this.idleSinceMs;
    if (idleMs < IDLE_CONFIRM_MS) return "idle";
    if (!this.positionUsable && idleMs < INVALID_POSITION_SYNC_MS) return "idle";
    this.idleSinceMs = nowMs;
    return this.confirm(!this.positionUsable) === "failed" ? "failed" : "idle";
  }

  // --- orders of the host ---

  private carryOutOrder(): FollowStep {
    const { orders, drive, device } = this;
    if (this.unconfirmed > 0 && this.synchronize() !== "worked") return "failed";
    const before = orders.before;
    if (orders.cdb[0] === ERASE_6) {
      this.mayCut = true;
      const allowed = this.allowCut(before, -1);
      if (allowed !== "worked") return allowed;
    }
    this.mayCut = true;
    if (before >= 0 && !this.standAt(before)) return "failed";
    const { blockBytes } = orders;
    if (drive.setBlockLength(blockBytes) !== "good") return this.fail("mode select", "error");
    this.allow(orders.cdb[0] === ERASE_6 ? ERASE_TIMES : MOVEMENT_TIMES);
    const outcome = drive.executeRaw(
      orders.cdb,
      orders.dataBytes > 0 ? "in" : "none",
      device.shared.base + orders.dataAt,
      orders.dataBytes,
    );
    if (this.isAbandoned) return "abandoned";
    if (this.isDriveFault(outcome)) return this.fail("order", outcome);
    const { reply } = drive;
    const status = reply.status;
    const transferred = reply.transferredBytes;
    const senseBytes = reply.senseBytes;
    this.orderSense.set(reply.sense);
    if (blockBytes !== 0) drive.setBlockLength(0); // the journal's blocks are written one by one, at their own length
    const asked = drive.readPositionLong();
    const known = asked === "good" && drive.position.valid;
    // Where the drive stands is part of the answer: from an old position the next block would be written over others.
    // Nobody was told yet, so another drive carries the order out again, from where the host stood before it.
    const isEmpty = asked === "notReady" && (orders.cdb[0] === LOAD_UNLOAD || outcome === "notReady");
    if (!known && !isEmpty) {
      return this.fail(
        "read position",
        asked === "good" ? "error" : asked,
        `position unknown behind an order`,
      );
    }
    if (known) this.position = drive.position.position;
    const capacity = orders.cdb[0] === READ_6 ? null : drive.capacity();
    device.set(at.DRIVE_POSITION, this.position);
    device.set(at.ON_TAPE_POSITION, this.position);
    orders.finish(
      status,
      transferred,
      this.orderSense,
      senseBytes,
      known ? this.position : -1,
      Math.max(0, drive.position.fileNumber),
      capacity?.remainingBytes ?? -1,
    );
    return "worked";
  }
  private readonly orderSense = new Uint8Array(252);

  /** Is this the drive's failure (then another carries out the order), or an answer for the host? */
  private isDriveFault(outcome: DriveOutcome): boolean {
    if (outcome === "unreachable" || outcome === "deferredError") return true;
    return outcome === "error" && this.drive.senseKey === 4;
  }

  private fail(operation: string, outcome: DriveOutcome | "journalUnreadable", text = ""): "failed" {
    this.failure = {
      operation,
      outcome,
      sense: outcome === "journalUnreadable" ? new Uint8Array(0) : this.drive.rawSense.slice(),
      text: text !== "" ? text : this.drive.reply.cause,
      J: this.J,
      position: this.position,
    };
    return "failed";
  }
}
