/** @module When the host hears GOOD: the acknowledgement rule, asked for the oldest published command first; the
 *  back-pressure (RED-17a) and the slow lane of a failover (RED-09) come on top of it.
 *
 *  (1) In order: nothing overtakes a command that still waits.
 *  (2) GOOD of a buffered WRITE is held back while there is no room for the next one: the host's next data always finds a
 *      place in the ring and needs no copy. */
import * as at from "../../../wasm/ring/layout.ts";
import type { Sense } from "../../scsi/sense.ts";
import { earlyWarningSense } from "../../scsi/unit/tape-sense.ts";
import { STATUS_GOOD, type Task } from "../../scsi/unit/task.ts";
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
import type { HostTapeState } from "./host-tape-state.ts";
import { TaskQueue } from "./task-queue.ts";
import type { Wants } from "./wants.ts";

const ENTRY_BYTES_FIRST = 65536;

export class GoodGiver {
  /** Published, GOOD not given yet; `task.portValue` is the end of its entry. */
  readonly published: TaskQueue;
  private readonly marks: Marks = { received: 0, durable: 0, taken: 0, onTape: 0 };
  /** Room that GOODs already given have promised to the next commands. */
  private promisedBytes = 0;
  private entryBytesLast = ENTRY_BYTES_FIRST;
  private nextGoodMs = 0;

  constructor(
    private readonly device: DeviceMemory,
    private readonly tape: HostTapeState,
    private readonly wants: Wants,
    private readonly settings: { readonly hostLagBytes: number; readonly nowMs: () => number },
    tasksMax: number,
  ) {
    this.published = new TaskQueue(tasksMax);
  }

  /** A write found its place: the promise that was made for it is kept. */
  placed(entryBytes: number): void {
    this.promisedBytes = Math.max(0, this.promisedBytes - entryBytes);
    this.entryBytesLast = entryBytes;
  }

  /** Something else than a write came: what was promised to writes is free. */
  forgetPromises(): void {
    this.promisedBytes = 0;
  }

  /** Milliseconds until time alone lets the oldest go; Infinity: it does not wait for time. */
  waitsMs(): number {
    if (this.published.length === 0 || this.device.word(at.FLOW) !== at.FLOW_REDUCED)
      return Number.POSITIVE_INFINITY;
    return Math.max(0, this.nextGoodMs - this.settings.nowMs());
  }

  /** Gives GOOD to all that may have it now. `report`: the sense for those that are to hear of a failure (609). */
  give(flow: number, report: () => Sense): void {
    const { device, published } = this;
    const cache = device.word(at.CACHE_STATE);
    while (published.length > 0) {
      const task = published.at(0);
      const command = commandOf(task);
      const endJ = task.portValue;
      this.readMarks();
      const decision = mayAcknowledge(command, endJ, this.marks, flow, cache);
      if (decision === REPORT) {
        published.shift();
        task.completeWithSense(report());
        continue;
      }
      if (decision !== ACK_NOW) {
        if (decision === WAIT_DURABLE || decision === WAIT_BOTH) this.wants.durable(endJ);
        if (decision === WAIT_ON_TAPE || decision === WAIT_BOTH) this.wants.onTape(endJ);
        return;
      }
      if (task.tape.operation === "write" && !this.mayGoOn(task, flow)) return;
      if (command === COMMAND_BARRIER && this.marks.onTape < endJ) device.set(at.OWED, endJ);
      published.shift();
      if (this.tape.inEarlyWarning) task.completeWithSense(earlyWarningSense);
      else task.complete(STATUS_GOOD);
    }
  }

  private readMarks(): void {
    const { device, marks } = this;
    marks.received = device.get(at.RECEIVED);
    marks.durable = device.get(at.DURABLE);
    marks.taken = device.get(at.TAKEN);
    marks.onTape = device.get(at.ON_TAPE);
  }

  private mayGoOn(task: Task, flow: number): boolean {
    const { device } = this;
    const promised = Math.min(this.promisedBytes + this.entryBytesLast, device.ringBytes / 2);
    const wanted = flow === at.FLOW_NORMAL ? this.withinLag(promised) : promised;
    if (device.ring.room() < wanted) {
      this.wants.room(wanted);
      return false;
    }
    if (flow === at.FLOW_REDUCED) {
      const nowMs = this.settings.nowMs();
      if (nowMs < this.nextGoodMs) return false;
      const bytesPerMs = Math.max(1, device.figure(at.FLOW_RATE)) / 1000;
      this.nextGoodMs = Math.max(nowMs, this.nextGoodMs) + task.outReceived / bytesPerMs;
    }
    this.promisedBytes = promised;
    return true;
  }

  /** A lag below the ring's size is ring that stays empty; what the cache takes in whole stripes never counts. */
  private withinLag(promised: number): number {
    const { ringBytes } = this.device;
    const keepFree = Math.max(0, ringBytes - this.settings.hostLagBytes);
    const most = ringBytes - this.device.get(at.STRIPE_BYTES) - 2 * this.entryBytesLast;
    return Math.max(promised, Math.min(promised + keepFree, most));
  }
}

function commandOf(task: Task): number {
  if (task.tape.operation === "write") {
    return task.tape.bufferedMode === 0 ? COMMAND_WRITE_UNBUFFERED : COMMAND_WRITE;
  }
  return task.tape.immediate ? COMMAND_FILEMARKS_IMMEDIATE : COMMAND_BARRIER;
}
