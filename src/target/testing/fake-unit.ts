/** @module A unit for the target's tests: WRITE(6) and READ(6) with a length in bytes, answers when it is told to. */
import { createSharedMemory, type SharedMemory } from "../../base/memory.ts";
import type { LogicalUnit } from "../../scsi/unit/ports.ts";
import { STATUS_GOOD, STATUS_TASK_ABORTED, type Task } from "../../scsi/unit/task.ts";

export const WRITE = 0x0a;
export const READ = 0x08;
/** Never answers by itself. */
export const HANG = 0x34;
/** CHECK CONDITION. */
export const FAIL = 0x1e;
export const TEST_UNIT_READY = 0x00;

export function cdbOf(operation: number, bytes: number): number[] {
  return [operation, 0, bytes >>> 16, (bytes >>> 8) & 255, bytes & 255, 0];
}

export class FakeUnit implements LogicalUnit {
  readonly memory: SharedMemory = createSharedMemory(32 << 20);
  /** Where the next write goes (offset in the memory). */
  at = 1 << 20;
  placeAtOnce = true;
  completeAtOnce = true;
  /** Aborted tasks are completed within `abort`. */
  abortAtOnce = true;
  readonly written: { at: number; received: number }[] = [];
  readonly waiting: Task[] = [];
  readonly unfinished: Task[] = [];
  readonly aborted: Task[] = [];
  readonly resets: string[] = [];
  readonly lost: number[] = [];
  dataTaken = 0;

  execute(task: Task): void {
    const bytes = ((task.cdb[2] ?? 0) << 16) | ((task.cdb[3] ?? 0) << 8) | (task.cdb[4] ?? 0);
    switch (task.cdb[0]) {
      case WRITE:
        task.outBytes = bytes;
        if (this.placeAtOnce) this.place(task);
        else this.waiting.push(task);
        return;
      case READ:
        task.dataInOwner = this;
        task.completeWithData(bytes, this.memory.base);
        return;
      case HANG:
        this.unfinished.push(task);
        return;
      case TEST_UNIT_READY:
        task.complete(STATUS_GOOD);
        return;
      default:
        task.completeWithSense({ key: 5, asc: 0x20, ascq: 0 });
    }
  }

  place(task: Task): void {
    task.portValue = this.at;
    const address = this.memory.base + this.at;
    this.at += (task.outBytes + 511) & ~511;
    if (this.at > 24 << 20) this.at = 1 << 20;
    task.place(address);
  }

  placeAll(): void {
    for (const task of this.waiting.splice(0)) this.place(task);
  }

  dataOutComplete(task: Task): void {
    this.written.push({ at: task.portValue, received: task.outReceived });
    if (this.completeAtOnce) task.complete(STATUS_GOOD);
    else this.unfinished.push(task);
  }

  dataInTaken(): void {
    this.dataTaken++;
  }

  abort(task: Task): void {
    this.aborted.push(task);
    if (this.abortAtOnce) task.complete(STATUS_TASK_ABORTED);
  }

  reset(cause: "lun" | "target" | "powerOn"): void {
    this.resets.push(cause);
  }

  nexusLost(nexusId: number): void {
    this.lost.push(nexusId);
  }

  /** What the n-th write brought. */
  data(index: number): Uint8Array {
    const write = this.written[index];
    if (write === undefined) throw new Error("no such write");
    return this.memory.bytes.slice(write.at, write.at + write.received);
  }
}
