/** @module The tee, seen from the host: what stands behind the SSC unit in the front Worker (DESIGN "one journal, two
 *  readers"; seed paragraphs 47-49).
 *
 *  (1) Commands enter the journal in the order in which they came; places are reserved in that order too.
 *  (2) GOOD is given by the acknowledgement rule alone (`mayAcknowledge`), in order.
 *  (3) GOOD of a buffered WRITE is held back while there is no room for the next one: that is the back-pressure that
 *      the host feels (RED-17a), so that its next data always finds a place in the ring and needs no copy.
 *  (4) Behind a barrier nothing is placed before the stripe was filled up (rule 9).
 *  (5) Reads and movements go to the drive as orders, with the host's own CDB; its answer goes back as it is.
 *
 *      waiting:   queued -> placed -> data in --append--> published:  waiting for GOOD
 *                 queued (read, movement) -> ordered -> done
 */
import * as at from "../../../wasm/ring/layout.ts";
import type { Sense } from "../../scsi/sense.ts";
import type { TapeMedium, TapePort } from "../../scsi/unit/ports.ts";
import { completeReadPosition, TapePosition } from "../../scsi/unit/tape-position.ts";
import { earlyWarningSense, volumeOverflowSense } from "../../scsi/unit/tape-sense.ts";
import {
  STATUS_BUSY,
  STATUS_CHECK_CONDITION,
  STATUS_GOOD,
  STATUS_TASK_ABORTED,
  type Task,
} from "../../scsi/unit/task.ts";
import {
  ACK_NOW,
  COMMAND_BARRIER,
  COMMAND_FILEMARKS_IMMEDIATE,
  COMMAND_WRITE,
  COMMAND_WRITE_UNBUFFERED,
  type Marks,
  mayAcknowledge,
  REPORT,
  WAIT_BOTH,
  WAIT_DURABLE,
  WAIT_ON_TAPE,
} from "../acknowledge.ts";
import type { DeviceMemory } from "./device-memory.ts";
import { OrderMailbox } from "./order.ts";
import { TaskQueue } from "./task-queue.ts";

const QUEUED = 0;
const PLACED = 1;
const DATA_IN = 2;
const ORDERED = 4;

const READ_HALF_BYTES = at.READ_BYTES / 2;
const TASKS_MAX = 1024;

export interface TeeSettings {
  readonly maxBlockBytes: number;
  /** Early warning is given when less than this remains (RED-05). */
  readonly padBytes: number;
  /** Milliseconds that all threads agree on. */
  readonly nowMs: () => number;
}

/** A cartridge as the director hands it to the tee. */
export interface LoadedCartridge {
  readonly image: number;
  readonly barcode: string;
  readonly serial: string;
  readonly capacityBytes: number;
  readonly remainingBytes: number;
  readonly writeProtected: boolean;
  readonly densityCode: number;
  readonly mediumType: number;
  /** After a restart of the gateway: writes are refused until the host positions (rule 7). */
  readonly mustPosition: boolean;
}

const hardwareFailure: Sense = { key: 0x4, asc: 0x44, ascq: 0x00 };
const positionLost: Sense = { key: 0x3, asc: 0x3b, ascq: 0x00 };
const mediumNotPresent: Sense = { key: 0x2, asc: 0x3a, ascq: 0x00 };
const notLoaded: Sense = { key: 0x2, asc: 0x04, ascq: 0x02 };
const halted: Sense = { key: 0x2, asc: 0x04, ascq: 0x03 };

export class TeePort implements TapePort {
  readonly medium: TapeMedium = {
    loaded: false,
    present: false,
    writeProtected: false,
    barcode: "",
    serial: "",
    capacityBytes: 0,
    remainingBytes: 0,
    densityCode: 0,
    mediumType: 0,
  };
  /** The host's position (rule 2). */
  position = 0;
  fileNumber = 0;
  /** The director cannot offer this device now (a journal that could not be drained). */
  outOfService = false;
  removalPrevented = false;

  private readonly waiting = new TaskQueue(TASKS_MAX);
  private readonly published = new TaskQueue(TASKS_MAX);
  private readonly orders: OrderMailbox;
  private readonly marks: Marks = { received: 0, durable: 0, taken: 0, onTape: 0 };
  private readonly reported = new TapePosition();
  private readonly readTasks: (Task | null)[] = [null, null];
  private readonly cdb = new Uint8Array(16);
  private image = 0;
  private remainingBytes = 0;
  private mustPosition = false;
  private padOwed = false;
  /** Room that GOODs already given have promised to the next commands. */
  private promisedBytes = 0;
  private entryBytesLast = 65536;
  private nextGoodMs = 0;
  private reportSense: Sense | null = null;
  private reportGiven = false;
  private advancing = false;
  private again = false;

  constructor(
    private readonly device: DeviceMemory,
    private readonly settings: TeeSettings,
  ) {
    this.orders = new OrderMailbox(device);
  }

  // --- TapePort ---

  submit(task: Task): void {
    task.portState = QUEUED;
    this.waiting.push(task);
    this.advance();
  }

  dataOutComplete(task: Task): void {
    task.portState = DATA_IN;
    this.advance();
  }

  abort(task: Task): void {
    task.aborted = true;
    if (task.portState === PLACED) task.portState = DATA_IN; // no more comes: its place becomes a PAD
    this.advance();
  }

  notReady(): Sense | null {
    if (this.outOfService) return halted;
    if (this.medium.loaded) return null;
    return this.medium.present ? notLoaded : mediumNotPresent;
  }

  takeTapeAlerts(): readonly number[] {
    return [];
  }

  setRemovalPrevented(prevented: boolean): void {
    this.removalPrevented = prevented;
  }

  // --- the director's orders, handed in by the front Worker ---

  load(cartridge: LoadedCartridge): void {
    this.image = cartridge.image;
    this.device.set(at.IMAGE, cartridge.image);
    Object.assign(this.medium, {
      loaded: true,
      present: true,
      barcode: cartridge.barcode,
      serial: cartridge.serial,
      capacityBytes: cartridge.capacityBytes,
      remainingBytes: cartridge.remainingBytes,
      writeProtected: cartridge.writeProtected,
      densityCode: cartridge.densityCode,
      mediumType: cartridge.mediumType,
    });
    this.position = this.fileNumber = 0;
    this.remainingBytes = cartridge.remainingBytes;
    this.mustPosition = cartridge.mustPosition;
    this.outOfService = false;
    this.promisedBytes = 0;
    this.advance();
  }

  unload(): void {
    Object.assign(this.medium, {
      loaded: false,
      present: false,
      barcode: "",
      serial: "",
      writeProtected: false,
    });
    this.position = this.fileNumber = 0;
  }

  /** Everything that came is on tape, and nothing is on its way (rule 12: only then may the cartridge move). */
  get settled(): boolean {
    return (
      this.waiting.length === 0 &&
      this.published.length === 0 &&
      this.device.get(at.ON_TAPE) >= this.device.get(at.RECEIVED)
    );
  }

  /** Puts a barrier behind what was received, so that `settled` comes true; repeated calls do nothing more. */
  requestSettled(): void {
    if (this.waiting.length > 0 || this.published.length > 0) return;
    if (
      this.device.get(at.ON_TAPE) >= this.device.get(at.RECEIVED) ||
      this.barrierEnd === this.device.get(at.RECEIVED)
    )
      return;
    if (this.appendFilemarks(0, at.FLAG_SYNCHRONIZE)) this.barrierEnd = this.device.get(at.RECEIVED);
  }
  private barrierEnd = -1;

  /** No spare, policy `report` (609): the next command hears of it with the drive's own sense. */
  report(sense: Sense | null): void {
    this.reportSense = sense;
    this.reportGiven = false;
    this.advance();
  }

  // --- progress ---

  /** Does whatever can be done now. Called when a task comes, data came in, a mark moved or time passed. */
  advance(): void {
    if (this.advancing) {
      this.again = true;
      return;
    }
    this.advancing = true;
    do {
      this.again = false;
      this.device.set(at.WANT_ROOM, 0);
      this.device.set(at.WANT_DURABLE, 0);
      this.device.set(at.WANT_ON_TAPE, 0);
      if (this.padOwed) this.pad();
      this.placeWrites();
      this.publishWrites();
      this.runHead();
      this.acknowledge();
    } while (this.again);
    this.advancing = false;
  }

  /** Milliseconds until time alone lets something happen; Infinity: nothing waits for time. */
  waitsMs(): number {
    if (this.published.length === 0 || this.device.word(at.FLOW) !== at.FLOW_REDUCED)
      return Number.POSITIVE_INFINITY;
    return Math.max(0, this.nextGoodMs - this.settings.nowMs());
  }

  private placeWrites(): void {
    const flow = this.device.word(at.FLOW);
    if (flow !== at.FLOW_NORMAL && flow !== at.FLOW_REDUCED) return; // 606: no place, no R2T
    if (this.padOwed) return;
    for (let i = 0; i < this.waiting.length; i++) {
      const task = this.waiting.at(i);
      if (task.tape.operation !== "write") return;
      if (task.portState !== QUEUED || task.aborted) continue;
      const bytes = at.ENTRY_HEADER_BYTES + Math.ceil(task.outBytes / at.ENTRY_ALIGN) * at.ENTRY_ALIGN;
      const J = this.device.ring.reserve(bytes);
      if (J < 0) {
        this.wantPlace(bytes);
        return;
      }
      this.promisedBytes = Math.max(0, this.promisedBytes - bytes);
      task.entryOffset = J;
      task.entryBytes = bytes;
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
        continue;
      }
      if (task.portState === QUEUED && this.device.word(at.FLOW) === at.FLOW_REPORT) {
        this.waiting.shift();
        task.completeWithSense(this.takeReport());
        continue;
      }
      if (task.portState === QUEUED && this.device.word(at.FLOW) === at.FLOW_BUSY) {
        this.waiting.shift();
        task.complete(STATUS_BUSY); // RED-10, 611: not failed, not ready to take more
        continue;
      }
      if (task.portState !== DATA_IN) break;
      this.waiting.shift();
      if (this.publish(task)) moved = true;
    }
    // What aborted commands left behind the last published entry is free again.
    if (this.waiting.length === 0 && this.device.get(at.RESERVED) > this.device.get(at.RECEIVED)) {
      this.device.ring.unreserve();
    }
    if (moved) this.device.wakeReaders();
  }

  /** The block (or run of fixed blocks) becomes an entry. false: refused, the task has ended. */
  private publish(task: Task): boolean {
    const { tape } = task;
    const refusal = this.refusal();
    if (refusal !== null) {
      task.completeWithSense(refusal);
      return false;
    }
    let bytes = Math.min(task.outReceived, task.outBytes);
    let count = 1;
    if (tape.fixed) {
      count = Math.floor(bytes / tape.blockBytes);
      bytes = count * tape.blockBytes;
    }
    if (bytes === 0) {
      task.complete(STATUS_GOOD);
      return false;
    }
    if (this.remainingBytes < bytes) {
      task.completeWithSense(volumeOverflowSense(tape.count));
      return false;
    }
    const nowMs = this.settings.nowMs();
    const end = this.device.ring.append(
      task.entryOffset,
      at.KIND_BLOCK,
      0,
      this.image,
      this.position,
      this.fileNumber,
      bytes,
      count,
      tape.fixed ? tape.blockBytes : 0,
      nowMs,
    );
    this.position += count;
    this.remainingBytes -= bytes;
    this.medium.remainingBytes = this.remainingBytes;
    this.entryBytesLast = task.entryBytes;
    this.device.addFigure(at.HOST_BYTES, bytes);
    this.device.set(at.HOST_BLOCKS, this.device.get(at.HOST_BLOCKS) + count);
    task.portValue = end;
    this.published.push(task);
    return true;
  }

  private refusal(): Sense | null {
    const notReady = this.notReady();
    if (notReady !== null) return notReady;
    if (this.device.word(at.FLOW) === at.FLOW_REPORT) return this.takeReport();
    return this.mustPosition ? positionLost : null;
  }

  /** The deferred sense once, then plain failure until the director lifts it (609, RED-19). */
  private takeReport(): Sense {
    if (this.reportGiven || this.reportSense === null) return hardwareFailure;
    this.reportGiven = true;
    return { ...this.reportSense, deferred: true };
  }

  /** The command at the head, where it is not a write. */
  private runHead(): void {
    while (this.waiting.length > 0) {
      const task = this.waiting.at(0);
      const { operation } = task.tape;
      if (operation === "write") return;
      if (task.portState === ORDERED) {
        if (!this.finishOrder(task)) return;
        continue;
      }
      if (task.aborted) {
        this.waiting.shift();
        task.complete(STATUS_TASK_ABORTED);
        continue;
      }
      const refusal = operation === "writeFilemarks" ? this.refusal() : this.refusalOfMove();
      if (refusal !== null && operation !== "readPosition") {
        this.waiting.shift();
        task.completeWithSense(refusal);
        continue;
      }
      if (operation === "readPosition") {
        this.waiting.shift();
        completeReadPosition(task, this.readPosition());
        continue;
      }
      if (operation === "writeFilemarks") {
        if (!this.publishFilemarks(task)) return;
        continue;
      }
      if (this.published.length > 0 || !this.order(task)) return;
    }
  }

  private refusalOfMove(): Sense | null {
    if (this.outOfService) return halted;
    if (!this.medium.present) return mediumNotPresent;
    return this.device.word(at.FLOW) === at.FLOW_REPORT ? this.takeReport() : null;
  }

  private publishFilemarks(task: Task): boolean {
    const { tape } = task;
    if (tape.count === 0 && tape.immediate) {
      this.waiting.shift();
      task.complete(STATUS_GOOD);
      return true;
    }
    if (!this.appendFilemarks(tape.count, tape.immediate ? 0 : at.FLAG_SYNCHRONIZE)) return false;
    this.waiting.shift();
    task.portValue = this.filemarksEnd;
    this.published.push(task);
    return true;
  }
  private filemarksEnd = 0;

  private appendFilemarks(count: number, flags: number): boolean {
    const { ring } = this.device;
    if (this.padOwed) return false;
    const J = ring.reserve(at.ENTRY_HEADER_BYTES);
    if (J < 0) {
      this.wantPlace(at.ENTRY_HEADER_BYTES);
      return false;
    }
    const nowMs = this.settings.nowMs();
    this.filemarksEnd = ring.append(
      J,
      at.KIND_FILEMARKS,
      flags,
      this.image,
      this.position,
      this.fileNumber,
      0,
      count,
      0,
      nowMs,
    );
    this.position += count;
    this.fileNumber += count;
    this.promisedBytes = 0;
    if ((flags & at.FLAG_SYNCHRONIZE) !== 0 && this.device.cacheActive) {
      this.padOwed = true;
      this.pad();
    }
    this.device.wakeReaders();
    return true;
  }

  /** Fills up the stripe behind a barrier; tries again later where the ring has no room. */
  private pad(): void {
    const end = this.device.ring.padToStripe(this.image, this.position, this.settings.nowMs());
    if (end < 0) {
      const stripeBytes = this.device.get(at.STRIPE_BYTES);
      this.wantRoom(stripeBytes - (this.device.get(at.RECEIVED) % stripeBytes));
      return;
    }
    this.padOwed = false;
    this.device.wakeReaders();
  }

  // --- orders to the drive ---

  private order(task: Task): boolean {
    const { tape } = task;
    let dataAt: number = at.READ;
    let dataBytes = 0;
    if (tape.operation === "read" || tape.operation === "verify") {
      this.releaseRead(task); // a pooled task that comes again has sent what it had
      const half = this.freeReadHalf();
      if (half < 0) return false;
      task.portValue = half;
      dataAt = at.READ + half * READ_HALF_BYTES;
      dataBytes = tape.operation === "read" ? (tape.fixed ? tape.count * tape.blockBytes : tape.count) : 0;
      if (dataBytes > READ_HALF_BYTES) dataBytes = READ_HALF_BYTES;
      this.readTasks[half] = task;
    }
    // They imply the barrier; the drive takes it before the order.
    if ((tape.operation === "rewind" || tape.operation === "unload") && !this.barrierDone()) return false;
    this.cdb.set(task.cdb);
    // The host may be told at once, but the drive must be done before the next command comes: no IMMED here.
    if (tape.operation === "erase") this.cdb[1] = (this.cdb[1] as number) & ~2;
    else if (tape.operation !== "read" && tape.operation !== "verify" && tape.operation !== "space")
      this.cdb[1] = (this.cdb[1] as number) & ~1;
    const positioned = tape.operation === "read" || tape.operation === "verify" || tape.operation === "erase";
    const before = positioned || tape.operation === "space" ? this.position : -1;
    task.portState = ORDERED;
    this.orders.issue(this.cdb, dataAt, dataBytes, tape.fixed ? tape.blockBytes : 0, before);
    return true;
  }

  private barrierDone(): boolean {
    const received = this.device.get(at.RECEIVED);
    if (this.device.get(at.ON_TAPE) >= received || this.barrierEnd === received) return true;
    if (!this.appendFilemarks(0, at.FLAG_SYNCHRONIZE)) return false;
    this.barrierEnd = this.device.get(at.RECEIVED);
    return !this.padOwed;
  }

  private freeReadHalf(): number {
    for (let half = 0; half < 2; half++) {
      const task = this.readTasks[half] as Task | null;
      if (task === null || task.dataSent) return half;
    }
    return -1;
  }

  private finishOrder(task: Task): boolean {
    if (this.orders.pending) {
      if (this.device.word(at.FLOW) !== at.FLOW_REPORT) return false;
      this.orders.cancel();
      this.waiting.shift();
      this.releaseRead(task);
      task.completeWithSense(this.takeReport());
      return true;
    }
    const { orders } = this;
    const { operation } = task.tape;
    this.waiting.shift();
    if (orders.position >= 0) {
      this.position = orders.position;
      this.fileNumber = orders.fileNumber;
      this.mustPosition = false;
    }
    this.remainingBytes = this.remainingAfter(operation);
    this.medium.remainingBytes = this.remainingBytes;
    const good = orders.status === STATUS_GOOD;
    if (operation === "unload" && good) this.medium.loaded = false;
    if (operation === "load" && good) this.medium.loaded = true;
    const bytes = operation === "read" ? orders.transferredBytes : 0;
    if (bytes > 0) {
      task.inAddress = this.device.shared.base + at.READ + task.portValue * READ_HALF_BYTES;
      task.inBytes = bytes;
    } else {
      this.releaseRead(task);
    }
    if (orders.status === STATUS_CHECK_CONDITION) task.completeWithRawSense(orders.sense);
    else if (orders.status === at.ORDER_UNREACHABLE) task.completeWithSense(hardwareFailure);
    else task.complete(orders.status);
    return true;
  }

  /** What fits behind the host's position. Drives tell it for end of data, so in mid-tape it is a lower bound. */
  private remainingAfter(operation: string): number {
    if (this.position === 0) return this.medium.capacityBytes;
    if (operation === "read") return Math.max(0, this.remainingBytes - this.orders.transferredBytes);
    return this.orders.remainingBytes >= 0 ? this.orders.remainingBytes : this.remainingBytes;
  }

  private releaseRead(task: Task): void {
    for (let half = 0; half < 2; half++) if (this.readTasks[half] === task) this.readTasks[half] = null;
  }

  private readPosition(): TapePosition {
    const position = this.reported;
    const received = this.device.get(at.RECEIVED);
    const onTape = this.device.get(at.ON_TAPE);
    const settled = onTape >= received;
    position.bop = this.position === 0;
    position.eop = this.medium.capacityBytes > 0 && this.remainingBytes < this.settings.padBytes;
    position.first = this.position;
    position.fileNumber = this.fileNumber;
    position.positionUnknown = this.mustPosition || !this.medium.present;
    // What the tape lacks, the host may learn (rule 2).
    position.last = settled ? this.position : Math.min(this.position, this.device.get(at.ON_TAPE_POSITION));
    position.blocksInBuffer = this.position - position.last;
    position.bytesInBuffer = position.blocksInBuffer === 0 ? 0 : received - onTape;
    return position;
  }

  // --- GOOD ---

  private acknowledge(): void {
    const { device, marks } = this;
    const flow = device.word(at.FLOW);
    const cache = device.word(at.CACHE_STATE);
    while (this.published.length > 0) {
      const task = this.published.at(0);
      marks.received = device.get(at.RECEIVED);
      marks.durable = device.get(at.DURABLE);
      marks.taken = device.get(at.TAKEN);
      marks.onTape = device.get(at.ON_TAPE);
      const isWrite = task.tape.operation === "write";
      const endJ = task.portValue;
      const command = isWrite
        ? task.tape.bufferedMode === 0
          ? COMMAND_WRITE_UNBUFFERED
          : COMMAND_WRITE
        : task.tape.immediate
          ? COMMAND_FILEMARKS_IMMEDIATE
          : COMMAND_BARRIER;
      const decision = mayAcknowledge(command, endJ, marks, flow, cache);
      if (decision === REPORT) {
        this.published.shift();
        task.completeWithSense(this.takeReport());
        continue;
      }
      if (decision !== ACK_NOW) {
        this.wantMarks(decision, endJ);
        return;
      }
      if (isWrite && !this.mayGoOn(task, flow)) return;
      if (command === COMMAND_BARRIER && marks.onTape < endJ) device.set(at.OWED, endJ);
      this.published.shift();
      if (this.remainingBytes < this.settings.padBytes) task.completeWithSense(earlyWarningSense);
      else task.complete(STATUS_GOOD);
    }
  }

  /** Invariant (3), and the slow lane of a failover (RED-09). */
  private mayGoOn(task: Task, flow: number): boolean {
    const next = Math.min(this.promisedBytes + this.entryBytesLast, this.device.ringBytes / 2);
    if (this.device.ring.room() < next) {
      this.wantRoom(next);
      return false;
    }
    if (flow === at.FLOW_REDUCED) {
      const nowMs = this.settings.nowMs();
      if (nowMs < this.nextGoodMs) return false;
      const rate = Math.max(1, this.device.figure(at.FLOW_RATE));
      this.nextGoodMs = Math.max(nowMs, this.nextGoodMs) + (task.outReceived / rate) * 1000;
    }
    this.promisedBytes = Math.min(this.promisedBytes + this.entryBytesLast, this.device.ringBytes / 2);
    return true;
  }

  /** Room for a contiguous place: what is left of the ring's end before it is lost to a PAD. */
  private wantPlace(bytes: number): void {
    const left = this.device.ringBytes - (this.device.get(at.RESERVED) % this.device.ringBytes);
    this.wantRoom(bytes > left ? left + bytes : bytes);
  }

  private wantRoom(bytes: number): void {
    const wanted = this.device.get(at.WANT_ROOM);
    if (wanted === 0 || bytes < wanted) this.device.set(at.WANT_ROOM, bytes);
    // The mark may have moved before it was asked for (device-memory, invariant 2).
    if (this.device.ring.room() >= bytes) this.again = true;
  }

  private wantMarks(decision: number, endJ: number): void {
    const { device } = this;
    if (decision === WAIT_DURABLE || decision === WAIT_BOTH) {
      // Durable means the whole stripe: the pad's end, which the cache Worker sees as RECEIVED.
      device.set(at.WANT_DURABLE, endJ);
      device.wakeCache();
      if (device.get(at.DURABLE) >= endJ && decision === WAIT_DURABLE) this.again = true;
    }
    if (decision === WAIT_ON_TAPE || decision === WAIT_BOTH) {
      device.set(at.WANT_ON_TAPE, endJ);
      device.wakeDrive();
      if (device.get(at.ON_TAPE) >= endJ && decision === WAIT_ON_TAPE) this.again = true;
    }
  }
}
