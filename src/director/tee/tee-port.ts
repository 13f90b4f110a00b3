/** @module The tee, seen from the host: what stands behind the SSC unit in the front Worker (DESIGN "one journal, two
 *  readers"; seed paragraphs 47-49).
 *
 *  (1) Commands enter the journal in the order in which they came; places are reserved in that order too.
 *  (2) GOOD is given by the acknowledgement rule alone, in order (good.ts).
 *  (3) Behind a barrier nothing is placed before the stripe was filled up (rule 9).
 *  (4) Reads and movements go to the drive as orders, one at a time (order-desk.ts).
 *
 *      waiting:   queued -> placed -> data in --append--> published:  waiting for GOOD
 *                 queued (read, movement) -> ordered -> done
 */
import * as at from "../../../wasm/ring/layout.ts";
import type { Sense } from "../../scsi/sense.ts";
import { mediumNotPresent } from "../../scsi/senses.ts";
import type { TapeMedium, TapePort } from "../../scsi/unit/ports.ts";
import { completeReadPosition } from "../../scsi/unit/tape-position.ts";
import { volumeOverflowSense } from "../../scsi/unit/tape-sense.ts";
import { STATUS_BUSY, STATUS_GOOD, STATUS_TASK_ABORTED, type Task } from "../../scsi/unit/task.ts";
import type { DeviceMemory } from "./device-memory.ts";
import { GoodGiver } from "./good.ts";
import { HostTapeState, type LoadedCartridge } from "./host-tape-state.ts";
import { OrderDesk } from "./order-desk.ts";
import { TaskQueue } from "./task-queue.ts";
import { Wants } from "./wants.ts";

export type { LoadedCartridge } from "./host-tape-state.ts";

const QUEUED = 0;
const PLACED = 1;
const DATA_IN = 2;
const ORDERED = 4;

const TASKS_MAX = 1024;

export interface TeeSettings {
  readonly maxBlockBytes: number;
  /** Early warning is given when less than this remains (RED-05). */
  readonly padBytes: number;
  /** How far the host may run ahead of the drive in normal work. */
  readonly hostLagBytes: number;
  /** Milliseconds that all threads agree on. */
  readonly nowMs: () => number;
}

const hardwareFailure: Sense = { key: 0x4, asc: 0x44, ascq: 0x00 };
const positionLost: Sense = { key: 0x3, asc: 0x3b, ascq: 0x00 };

export class TeePort implements TapePort {
  readonly tape: HostTapeState;
  removalPrevented = false;

  private readonly waiting = new TaskQueue(TASKS_MAX);
  private readonly wants: Wants;
  private readonly good: GoodGiver;
  private readonly orders: OrderDesk;
  private padOwed = false;
  /** The cartridge is about to leave: what comes now waits, and then meets whatever is in the drive (rule 12). */
  private departing = false;
  /** End of the newest barrier that was put in for a movement or a stop. */
  private barrierEnd = -1;
  private filemarksEnd = 0;
  /** TapeAlert flags that the host has not asked for yet. */
  private readonly alerts = new Set<number>();
  private reportSense: Sense | null = null;
  private reportGiven = false;
  private readonly report = () => this.takeReport();
  private advancing = false;
  private again = false;

  constructor(
    private readonly device: DeviceMemory,
    private readonly settings: TeeSettings,
  ) {
    this.tape = new HostTapeState(device, settings.padBytes);
    this.wants = new Wants(device);
    this.good = new GoodGiver(device, this.tape, this.wants, settings, TASKS_MAX);
    this.orders = new OrderDesk(device, this.tape);
  }

  // --- TapePort ---

  get medium(): TapeMedium {
    return this.tape.medium;
  }

  submit(task: Task): void {
    task.portState = QUEUED;
    this.waiting.push(task);
    this.advance();
  }

  dataOutComplete(task: Task): void {
    task.portState = DATA_IN;
    this.advance();
  }

  /** No byte comes to its place any more: what it had reserved becomes a PAD. A published one cannot be undone. */
  abort(task: Task): void {
    task.aborted = true;
    if (task.portState === PLACED) task.portState = DATA_IN;
    this.advance();
  }

  notReady(): Sense | null {
    return this.tape.notReady();
  }

  takeTapeAlerts(): readonly number[] {
    const flags = [...this.alerts];
    this.alerts.clear();
    return flags;
  }

  setRemovalPrevented(prevented: boolean): void {
    this.removalPrevented = prevented;
  }

  // --- the director's orders, handed in by the front Worker ---

  load(cartridge: LoadedCartridge): void {
    this.tape.load(cartridge);
    this.good.forgetPromises();
    this.advance();
  }

  unload(): void {
    this.tape.unload();
  }

  /** Everything that came is on tape, and nothing is on its way (rule 12: only then may the cartridge move). */
  get settled(): boolean {
    return (
      this.waiting.length === 0 &&
      this.good.published.length === 0 &&
      this.device.get(at.ON_TAPE) >= this.device.get(at.RECEIVED)
    );
  }

  /** Puts a barrier behind what was received, so that `settled` comes true; repeated calls do nothing more. */
  requestSettled(): void {
    if (this.waiting.length === 0 && this.good.published.length === 0) this.barrierDone();
  }

  /** Orderly stop with data that no drive takes: what was received is to lie in whole stripes, for only those are kept. */
  fillStripe(): void {
    const { device } = this;
    const received = device.get(at.RECEIVED);
    if (!device.cacheActive || device.get(at.ON_TAPE) >= received || device.get(at.RESERVED) !== received)
      return;
    this.padOwed = true;
    this.pad();
  }

  /** From `settled` until the robot is done nothing is taken: it would be acknowledged for a cartridge that is gone. */
  setDeparting(departing: boolean): void {
    this.departing = departing;
    this.advance();
  }

  /** No spare, policy `report` (609): the next command hears of it with the drive's own sense. */
  reportFailure(sense: Sense | null, tapeAlerts: readonly number[] = []): void {
    this.raiseTapeAlerts(tapeAlerts);
    this.reportSense = sense;
    this.reportGiven = false;
    this.advance();
  }

  /** They stay until the host has read them. */
  raiseTapeAlerts(flags: readonly number[]): void {
    for (const flag of flags) this.alerts.add(flag);
  }

  // --- progress ---

  /** Does whatever can be done now. Called when a task comes, data came in, a mark moved or time passed. */
  advance(): void {
    if (this.advancing) {
      this.again = true;
      return;
    }
    this.advancing = true;
    if (this.device.word(at.FLOW) !== at.FLOW_REPORT) this.reportSense = null;
    do {
      this.again = false;
      this.wants.clear();
      if (this.padOwed) this.pad();
      this.placeWrites();
      this.publishWrites();
      this.runHead();
      this.good.give(this.flow, this.report);
    } while (this.again || this.wants.met);
    this.advancing = false;
  }

  /** Milliseconds until time alone lets something happen; Infinity: nothing waits for time. */
  waitsMs(): number {
    return this.good.waitsMs();
  }

  /** The director's word; a report that has not said its sense yet holds the host like a suspension. */
  private get flow(): number {
    const flow = this.device.word(at.FLOW);
    return flow === at.FLOW_REPORT && this.reportSense === null ? at.FLOW_SUSPENDED : flow;
  }

  private placeWrites(): void {
    const { flow } = this;
    // 606: no place, so no R2T (RED-17b); nor behind a barrier whose stripe is not filled up.
    if ((flow !== at.FLOW_NORMAL && flow !== at.FLOW_REDUCED) || this.padOwed || this.departing) return;
    for (let i = 0; i < this.waiting.length; i++) {
      const task = this.waiting.at(i);
      if (task.tape.operation !== "write") return;
      if (task.portState !== QUEUED || task.aborted) continue;
      const bytes = at.ENTRY_HEADER_BYTES + Math.ceil(task.outBytes / at.ENTRY_ALIGN) * at.ENTRY_ALIGN;
      const J = this.device.ring.reserve(bytes);
      if (J < 0) {
        this.wants.place(bytes);
        return;
      }
      this.good.placed(bytes);
      task.entryOffset = J;
      task.portState = PLACED;
      task.place(this.device.shared.base + this.device.inRing(J) + at.ENTRY_HEADER_BYTES);
    }
  }

  private publishWrites(): void {
    let moved = false;
    while (this.waiting.length > 0) {
      const task = this.waiting.at(0);
      if (task.tape.operation !== "write") break;
      if (task.aborted && task.portState !== PLACED) {
        this.waiting.shift();
        task.complete(STATUS_TASK_ABORTED);
      } else if (task.portState === QUEUED && this.flow === at.FLOW_REPORT) {
        this.waiting.shift();
        task.completeWithSense(this.takeReport());
      } else if (task.portState === QUEUED && this.flow === at.FLOW_BUSY) {
        this.waiting.shift();
        task.complete(STATUS_BUSY); // RED-10, 611: not failed, not ready to take more
      } else if (task.portState === DATA_IN) {
        this.waiting.shift();
        if (this.publish(task)) moved = true;
      } else break;
    }
    // What aborted commands left behind the last published entry is free again.
    if (this.waiting.length === 0 && this.device.get(at.RESERVED) > this.device.get(at.RECEIVED)) {
      this.device.ring.unreserve();
    }
    if (moved) this.device.wakeReaders();
  }

  /** The block (or run of fixed blocks) becomes an entry. false: refused or empty, the task has ended. */
  private publish(task: Task): boolean {
    const { device, tape } = this;
    const { fixed, blockBytes } = task.tape;
    const refusal = this.refusalOfWrite();
    if (refusal !== null) {
      task.completeWithSense(refusal);
      return false;
    }
    const received = Math.min(task.outReceived, task.outBytes);
    const count = fixed ? Math.floor(received / blockBytes) : 1;
    const bytes = fixed ? count * blockBytes : received;
    if (bytes === 0) {
      task.complete(STATUS_GOOD);
      return false;
    }
    if (tape.medium.remainingBytes < bytes) {
      task.completeWithSense(volumeOverflowSense(task.tape.count));
      return false;
    }
    task.portValue = device.ring.append(
      task.entryOffset,
      at.KIND_BLOCK,
      0,
      tape.image,
      tape.position,
      tape.fileNumber,
      bytes,
      count,
      fixed ? blockBytes : 0,
      this.settings.nowMs(),
    );
    if (tape.position === 0) tape.beganImage(task.entryOffset);
    tape.wrote(count, bytes);
    device.addFigure(at.HOST_BYTES, bytes);
    device.set(at.HOST_BLOCKS, device.get(at.HOST_BLOCKS) + count);
    this.good.published.push(task);
    return true;
  }

  private refusalOfWrite(): Sense | null {
    const notReady = this.notReady();
    if (notReady !== null) return notReady;
    if (this.flow === at.FLOW_REPORT) return this.takeReport();
    return this.tape.mustPosition ? positionLost : null;
  }

  private refusalOfMove(): Sense | null {
    if (this.tape.outOfService) return this.notReady();
    if (!this.medium.present) return mediumNotPresent;
    return this.flow === at.FLOW_REPORT ? this.takeReport() : null;
  }

  /** The drive's sense: deferred for the first that hears of it, then as it is until the director lifts it (609, RED-19). */
  private takeReport(): Sense {
    if (this.reportSense === null) return hardwareFailure;
    const deferred = !this.reportGiven;
    this.reportGiven = true;
    return { ...this.reportSense, deferred };
  }

  /** The command at the head, where it is not a write. */
  private runHead(): void {
    while (this.waiting.length > 0) {
      const task = this.waiting.at(0);
      const { operation } = task.tape;
      if (operation === "write" || this.departing) return;
      if (task.portState === ORDERED) {
        if (!this.finishOrder(task)) return;
        continue;
      }
      if (task.aborted) {
        this.waiting.shift();
        task.complete(STATUS_TASK_ABORTED);
        continue;
      }
      if (operation === "readPosition") {
        this.waiting.shift();
        completeReadPosition(task, this.tape.report());
        continue;
      }
      const refusal = operation === "writeFilemarks" ? this.refusalOfWrite() : this.refusalOfMove();
      if (refusal !== null) {
        this.waiting.shift();
        task.completeWithSense(refusal);
        continue;
      }
      if (operation === "writeFilemarks") {
        if (!this.publishFilemarks(task)) return;
        continue;
      }
      if (this.good.published.length > 0 || !this.order(task)) return;
    }
  }

  private publishFilemarks(task: Task): boolean {
    const { count, immediate } = task.tape;
    if (count === 0 && immediate) {
      this.waiting.shift();
      task.complete(STATUS_GOOD);
      return true;
    }
    if (!this.appendFilemarks(count, immediate ? 0 : at.FLAG_SYNCHRONIZE)) return false;
    this.waiting.shift();
    task.portValue = this.filemarksEnd;
    this.good.published.push(task);
    return true;
  }

  private appendFilemarks(count: number, flags: number): boolean {
    const { device, tape } = this;
    if (this.padOwed) return false;
    const J = device.ring.reserve(at.ENTRY_HEADER_BYTES);
    if (J < 0) {
      this.wants.place(at.ENTRY_HEADER_BYTES);
      return false;
    }
    this.filemarksEnd = device.ring.append(
      J,
      at.KIND_FILEMARKS,
      flags,
      tape.image,
      tape.position,
      tape.fileNumber,
      0,
      count,
      0,
      this.settings.nowMs(),
    );
    if (count > 0 && tape.position === 0) tape.beganImage(J);
    tape.wroteFilemarks(count);
    this.good.forgetPromises();
    if ((flags & at.FLAG_SYNCHRONIZE) !== 0 && device.cacheActive) {
      this.padOwed = true;
      this.pad();
    }
    device.wakeReaders();
    return true;
  }

  /** Fills up the stripe behind a barrier; tries again later where the ring has no room. */
  private pad(): void {
    if (this.device.ring.padToStripe(this.tape.image, this.tape.position, this.settings.nowMs()) < 0) {
      this.wants.stripe();
      return;
    }
    this.padOwed = false;
    this.device.wakeReaders();
  }

  private order(task: Task): boolean {
    const { operation } = task.tape;
    // They imply the barrier; the drive takes it before the order.
    if ((operation === "rewind" || operation === "unload") && !this.barrierDone()) return false;
    if (!this.orders.issue(task)) return false;
    // Carried out on the tape alone: the journal holds no entry of it.
    if (operation === "erase") this.tape.forgetImage();
    task.portState = ORDERED;
    return true;
  }

  /** A barrier stands behind everything that was received. */
  private barrierDone(): boolean {
    const received = this.device.get(at.RECEIVED);
    if (this.device.get(at.ON_TAPE) >= received || this.barrierEnd === received) return !this.padOwed;
    if (!this.appendFilemarks(0, at.FLAG_SYNCHRONIZE)) return false;
    this.barrierEnd = this.device.get(at.RECEIVED);
    return !this.padOwed;
  }

  private finishOrder(task: Task): boolean {
    if (this.orders.pending) {
      if (this.flow !== at.FLOW_REPORT) return false;
      this.waiting.shift();
      this.orders.cancel(task);
      task.completeWithSense(this.takeReport());
      return true;
    }
    this.waiting.shift();
    this.orders.finish(task);
    return true;
  }
}
