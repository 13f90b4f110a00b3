/** @module A disk in memory, for tests only (`iscsi.testDiskMegabytes`): the transport tests of other people's conformance
 *  suites (iscsi-test-cu) need a disk LUN. It knows what those ask for: SBC reads and writes by every CDB size, capacity, a
 *  little INQUIRY. What is written there goes nowhere: no tape, no cache, gone with the process. */
import { createSharedMemory, type SharedMemory } from "../../base/memory.ts";
import { NoUnit } from "./no-unit.ts";
import type { LogicalUnit } from "./ports.ts";
import { STATUS_GOOD, STATUS_TASK_ABORTED, type Task } from "./task.ts";

const BLOCK_BYTES = 512;
const INVALID_OPCODE = { key: 5, asc: 0x20, ascq: 0 } as const;
const INVALID_FIELD = { key: 5, asc: 0x24, ascq: 0 } as const;
const OUT_OF_RANGE = { key: 5, asc: 0x21, ascq: 0 } as const;

export class TestDisk implements LogicalUnit {
  readonly #blocks: number;
  readonly #memory: SharedMemory;
  readonly #report: NoUnit;

  /** `luns`: what the target has, for REPORT LUNS. */
  constructor(bytes: number, luns: () => readonly number[]) {
    this.#blocks = Math.floor(bytes / BLOCK_BYTES);
    this.#memory = createSharedMemory(this.#blocks * BLOCK_BYTES);
    this.#report = new NoUnit(luns);
  }

  execute(task: Task): void {
    const { cdb, parameters } = task;
    const view = new DataView(cdb.buffer, cdb.byteOffset, 16);
    parameters.fill(0, 0, 96);
    const answer = new DataView(parameters.buffer, parameters.byteOffset, 96);
    switch (cdb[0]) {
      case 0x00: // TEST UNIT READY
      case 0x1b: // START STOP UNIT
      case 0x35: // SYNCHRONIZE CACHE
      case 0x91:
        task.complete(STATUS_GOOD);
        return;
      case 0x12:
        this.#inquiry(task);
        return;
      case 0x1a:
        parameters[0] = 3;
        task.completeWithData(Math.min(4, cdb[4] ?? 0));
        return;
      case 0x25:
        answer.setUint32(0, this.#blocks - 1);
        answer.setUint32(4, BLOCK_BYTES);
        task.completeWithData(8);
        return;
      case 0x9e:
        answer.setUint32(4, this.#blocks - 1);
        answer.setUint32(8, BLOCK_BYTES);
        task.completeWithData(Math.min(32, view.getUint32(10)));
        return;
      case 0xa0:
        this.#report.execute(task);
        return;
      case 0x28: // READ (10), (12), (16)
        this.#read(task, view.getUint32(2), view.getUint16(7));
        return;
      case 0xa8:
        this.#read(task, view.getUint32(2), view.getUint32(6));
        return;
      case 0x88:
        this.#read(task, Number(view.getBigUint64(2)), view.getUint32(10));
        return;
      case 0x2a: // WRITE (10), WRITE AND VERIFY (10), and the longer ones
      case 0x2e:
        this.#write(task, view.getUint32(2), view.getUint16(7));
        return;
      case 0xaa:
      case 0xae:
        this.#write(task, view.getUint32(2), view.getUint32(6));
        return;
      case 0x8a:
      case 0x8e:
        this.#write(task, Number(view.getBigUint64(2)), view.getUint32(10));
        return;
      default:
        task.completeWithSense(INVALID_OPCODE);
    }
  }

  #inquiry(task: Task): void {
    const { cdb, parameters } = task;
    const allocation = ((cdb[3] ?? 0) << 8) | (cdb[4] ?? 0);
    if (((cdb[1] ?? 0) & 1) !== 0) {
      if (cdb[2] !== 0) {
        task.completeWithSense(INVALID_FIELD);
        return;
      }
      parameters[3] = 1;
      task.completeWithData(Math.min(5, allocation));
      return;
    }
    parameters[2] = 6;
    parameters[3] = 2;
    parameters[4] = 31;
    parameters[7] = 2;
    parameters.set(Buffer.from("TEST    RAM DISK        0001"), 8);
    task.completeWithData(Math.min(36, allocation));
  }

  #read(task: Task, block: number, count: number): void {
    if (block + count > this.#blocks) task.completeWithSense(OUT_OF_RANGE);
    else task.completeWithData(count * BLOCK_BYTES, this.#memory.base + block * BLOCK_BYTES);
  }

  #write(task: Task, block: number, count: number): void {
    if (block + count > this.#blocks) {
      task.completeWithSense(OUT_OF_RANGE);
      return;
    }
    task.outBytes = count * BLOCK_BYTES;
    task.place(this.#memory.base + block * BLOCK_BYTES);
  }

  dataOutComplete(task: Task): void {
    task.complete(STATUS_GOOD);
  }

  abort(task: Task): void {
    task.complete(STATUS_TASK_ABORTED);
  }

  reset(): void {}

  nexusLost(): void {}
}
