/** @module The commands of one session: a fixed number of tasks with their memory, made once and used again.
 *
 *      COMMANDS_MAX regular places (the window) + RESERVE for immediate commands, each with
 *      64 KiB of parameters and a 256 KiB spill buffer: where data waits that came before the unit had a place for it
 *
 *  The memory is committed when touched: a session that never spills costs a few pages. */
import { createSharedMemory, type SharedMemory } from "../base/memory.ts";
import { TAG_NONE } from "../iscsi/pdu.ts";
import type { Sense } from "../scsi/sense.ts";
import type { LogicalUnit } from "../scsi/unit/ports.ts";
import { PARAMETERS_BYTES, Task } from "../scsi/unit/task.ts";
import type { Session } from "./session.ts";

/** Commands that an initiator may have open: MaxCmdSN - ExpCmdSN + 1 with nothing open. */
export const COMMANDS_MAX = 32;
/** Beyond the window: immediate commands, and the one whose last Data-In is still being sent. */
export const COMMANDS_RESERVE = 8;
/** At least FirstBurstLength: the most that comes without being asked for. */
export const SPILL_BYTES = 262144;

/** No R2T is out; it waits in the output queue; it was sent and its data comes. */
export const R2T_NONE = 0;
export const R2T_QUEUED = 1;
export const R2T_SENT = 2;

export class IscsiTask extends Task {
  readonly index: number;
  readonly spillAddress: number;
  inUse = false;
  /** Counts the commands that used this place: a tag or queue entry of an earlier one is not this one's. */
  generation = 0;
  unit: LogicalUnit | null = null;
  session: Session | null = null;
  itt = TAG_NONE;
  expectedBytes = 0;
  isWrite = false;

  // --- data-out, which comes in order ---
  /** Bytes that came so far, in a PDU still under way too, and those beyond what the command takes. */
  receivedBytes = 0;
  /** The place was given and what had been spilled is there. */
  placed = false;
  /** Unsolicited data has not ended (F bit) yet. */
  unsolicitedOpen = false;
  /** A PDU with data for this task is being received. */
  receiving = false;
  /** `unit.dataOutComplete` was called. */
  dataDone = false;
  dataSN = 0;
  /** Its data broke the sequence: the unit was told to forget it, the answer will be CHECK CONDITION. */
  spoiltBy: Sense | null = null;
  r2t = R2T_NONE;
  r2tSN = 0;
  r2tTag = TAG_NONE;
  r2tEnd = 0;

  // --- the answer ---
  /** The answer waits until the initiator has sent what it was asked for. */
  held = false;
  answering = false;
  sentBytes = 0;
  dataInSN = 0;

  constructor(index: number, memory: SharedMemory, at: number) {
    super(memory.bytes.subarray(at, at + PARAMETERS_BYTES), memory.base + at);
    this.index = index;
    this.spillAddress = memory.base + at + PARAMETERS_BYTES;
  }

  /** Ready for the next command. */
  begin(): void {
    this.reset();
    this.inUse = true;
    this.receivedBytes = this.dataSN = this.r2tSN = this.r2tEnd = 0;
    this.placed = this.unsolicitedOpen = this.receiving = this.dataDone = false;
    this.spoiltBy = null;
    this.r2t = R2T_NONE;
    this.r2tTag = TAG_NONE;
    this.held = this.answering = false;
    this.sentBytes = this.dataInSN = 0;
  }

  /** Data-out bytes that will come and are taken. */
  get takenBytes(): number {
    return Math.min(this.expectedOutBytes, this.outBytes);
  }

  get spoilt(): boolean {
    return this.spoiltBy !== null;
  }

  /** No answer is owed any more: it was aborted by its initiator, or the initiator is gone. */
  get forgotten(): boolean {
    return this.aborted && !this.spoilt;
  }

  /** The initiator still owes data that it promised or was asked for. */
  get owesData(): boolean {
    return this.receiving || this.unsolicitedOpen || this.r2t === R2T_SENT;
  }
}

export class TaskPool {
  readonly tasks: readonly IscsiTask[];
  readonly #free: Int32Array;
  #freeCount = 0;

  constructor() {
    const count = COMMANDS_MAX + COMMANDS_RESERVE;
    const each = PARAMETERS_BYTES + SPILL_BYTES;
    const memory = createSharedMemory(count * each);
    this.tasks = Array.from({ length: count }, (_, index) => new IscsiTask(index, memory, index * each));
    this.#free = new Int32Array(count);
    // Last in, first out: the pages used last are used next.
    for (let index = count - 1; index >= 0; index--) this.#free[this.#freeCount++] = index;
  }

  get free(): number {
    return this.#freeCount;
  }

  get open(): number {
    return this.tasks.length - this.#freeCount;
  }

  take(): IscsiTask | null {
    if (this.#freeCount === 0) return null;
    const task = this.tasks[this.#free[--this.#freeCount] ?? 0] ?? null;
    task?.begin();
    return task;
  }

  give(task: IscsiTask): void {
    if (!task.inUse) return;
    task.inUse = false;
    task.generation = (task.generation + 1) & 0xffffff;
    task.unit = null;
    this.#free[this.#freeCount++] = task.index;
  }

  /** The open task with this initiator task tag. */
  find(itt: number): IscsiTask | null {
    for (const task of this.tasks) if (task.inUse && task.itt === itt && !task.forgotten) return task;
    return null;
  }
}
