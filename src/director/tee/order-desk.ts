/** @module Reads and movements of the host: the host's own CDB goes to the coupled drive as an order, and the drive's
 *  answer goes back as it is (DESIGN, "Two positions"). One at a time; the tee keeps the order of commands. */
import * as at from "../../../wasm/ring/layout.ts";
import type { Sense } from "../../scsi/sense.ts";
import {
  type DataInOwner,
  STATUS_CHECK_CONDITION,
  STATUS_GOOD,
  type TapeOperation,
  type Task,
} from "../../scsi/unit/task.ts";
import type { DeviceMemory } from "./device-memory.ts";
import type { HostTapeState } from "./host-tape-state.ts";
import { OrderMailbox } from "./order.ts";

const HALVES = 2;
const HALF_BYTES = at.READ_BYTES / HALVES;

const unreachable: Sense = { key: 0x4, asc: 0x44, ascq: 0x00 };

export class OrderDesk implements DataInOwner {
  private readonly orders: OrderMailbox;
  private readonly cdb = new Uint8Array(16);
  /** Whose data lies in each half of the read buffer: free again when it was taken. */
  private readonly readers: (Task | null)[] = new Array<Task | null>(HALVES).fill(null);

  constructor(
    private readonly device: DeviceMemory,
    private readonly tape: HostTapeState,
  ) {
    this.orders = new OrderMailbox(device);
  }

  get pending(): boolean {
    return this.orders.pending;
  }

  /** false: both halves of the read buffer are on their way to the host. */
  issue(task: Task): boolean {
    const { tape } = task;
    const reads = tape.operation === "read" || tape.operation === "verify";
    let dataBytes = 0;
    if (reads) {
      const half = this.freeHalf();
      if (half < 0) return false;
      this.readers[half] = task;
      task.portValue = half;
      if (tape.operation === "read") dataBytes = tape.fixed ? tape.count * tape.blockBytes : tape.count;
      dataBytes = Math.min(dataBytes, HALF_BYTES);
    }
    this.cdb.set(task.cdb);
    this.clearImmediate(tape.operation);
    const before =
      reads || tape.operation === "erase" || tape.operation === "space" ? this.tape.position : -1;
    const dataAt = at.READ + (reads ? task.portValue * HALF_BYTES : 0);
    // The drive's own block length decides over ILI and, with SILI, over overlong blocks: it is the host's for this command.
    this.orders.issue(this.cdb, dataAt, dataBytes, reads ? tape.modeBlockBytes : 0, before);
    return true;
  }

  /** The host may be told at once, but the drive must be done before the next command comes. */
  private clearImmediate(operation: TapeOperation): void {
    if (operation === "erase") this.cdb[1] = (this.cdb[1] as number) & ~2;
    else if (
      operation === "rewind" ||
      operation === "locate" ||
      operation === "load" ||
      operation === "unload"
    )
      this.cdb[1] = (this.cdb[1] as number) & ~1;
  }

  /** Gives up: there is no drive any more, and none will follow. */
  cancel(task: Task): void {
    this.orders.cancel();
    this.release(task);
  }

  /** Ends the task with the drive's answer. */
  finish(task: Task): void {
    const { orders, tape } = this;
    const { operation } = task.tape;
    const bytes = operation === "read" ? orders.transferredBytes : 0;
    tape.moved(operation, orders.position, orders.fileNumber, bytes, orders.remainingBytes);
    if (orders.status === STATUS_GOOD) {
      if (operation === "unload") tape.medium.loaded = false;
      if (operation === "load") tape.medium.loaded = true;
    }
    if (bytes > 0) {
      task.dataInOwner = this;
      task.inAddress = this.device.shared.base + at.READ + task.portValue * HALF_BYTES;
      task.inBytes = bytes;
    } else {
      this.release(task);
    }
    if (orders.status === STATUS_CHECK_CONDITION) task.completeWithRawSense(orders.sense);
    else if (orders.status === at.ORDER_UNREACHABLE) task.completeWithSense(unreachable);
    else task.complete(orders.status);
  }

  private freeHalf(): number {
    return this.readers.indexOf(null);
  }

  /** The host has it, or will never take it. */
  dataInTaken(task: Task): void {
    this.release(task);
  }

  private release(task: Task): void {
    for (let half = 0; half < HALVES; half++) if (this.readers[half] === task) this.readers[half] = null;
  }
}
