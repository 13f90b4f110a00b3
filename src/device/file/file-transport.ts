/** @module A drive of the embedded library: the SSC unit that also faces the host, over a tape that is a file.
 *  One thread owns it. The transport's side executes CDBs, the robot's side inserts and ejects cartridges, faults are
 *  armed in between; a command blocks until its answer is there. */
import { ptr } from "bun:ffi";
import type { CommandReply, DataDirection } from "../../base/command-reply.ts";
import { libc } from "../../base/ffi.ts";
import type { UnitIdentity } from "../../scsi/inquiry.ts";
import { SscUnit } from "../../scsi/unit/ssc.ts";
import { type Nexus, PARAMETERS_BYTES, Task, type TaskOwner } from "../../scsi/unit/task.ts";
import type { Transport } from "../transport.ts";
import type { CartridgeProblem } from "./cartridge.ts";
import { driveClock } from "./clock.ts";
import type { DriveFaults } from "./faults.ts";
import { FileMedium, type FileMediumOptions } from "./medium.ts";
import type { DriveClock } from "./pace.ts";

export interface FileDriveOptions extends Partial<FileMediumOptions> {
  readonly identity: UnitIdentity;
  /** The first command is answered with 29h/00h, as after power on (default). */
  readonly announcesPowerOn?: boolean;
}

export type InsertOutcome = { readonly kind: "inserted" } | CartridgeProblem | { readonly kind: "full" };
export type EjectOutcome = "ejected" | "empty" | "stuck" | "prevented";

const NEXUS: Nexus = { id: 1, initiatorName: "understudy", initiatorPort: "understudy" };

export class FileTransport implements Transport, TaskOwner {
  readonly describe: string;
  readonly medium: FileMedium;
  readonly unit: SscUnit;

  readonly #clock: DriveClock;
  readonly #task: Task;
  #dataAddress = 0;
  #dataBytes = 0;

  constructor(options: FileDriveOptions) {
    this.#clock = options.clock ?? driveClock;
    this.medium = new FileMedium({ ...options, clock: this.#clock });
    this.unit = new SscUnit({
      identity: options.identity,
      port: this.medium,
      announcesPowerOn: options.announcesPowerOn ?? true,
    });
    this.describe = `file drive ${options.identity.serial}`;
    const parameters = new Uint8Array(new ArrayBuffer(PARAMETERS_BYTES));
    this.#task = new Task(parameters, Number(ptr(parameters)));
    this.#task.nexus = NEXUS;
    this.#task.owner = this;
  }

  get faults(): DriveFaults {
    return this.medium.faults;
  }

  /** Time (scale of the drive's clock) since when the data of the next WRITE has been there: for the idle figures. */
  set dataAvailableSinceMs(value: number) {
    this.medium.buffer.dataAvailableSinceMs = value;
  }

  // --- the initiator's side ---

  execute(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    const { gate, faults } = this.medium;
    reply.clear();
    gate.deadlineMs = timeoutMs > 0 ? this.#clock.nowMs() + timeoutMs : Number.POSITIVE_INFINITY;
    gate.unanswered = false;
    if (!faults.vanished && !gate.waitWhileHung()) gate.unanswered = true;
    if (!faults.vanished && !gate.unanswered) this.#run(cdb, direction, dataAddress, dataBytes, reply);
    if (faults.vanished) reply.lose("the drive does not answer (vanished)");
    else if (gate.unanswered) reply.lose("timed out");
  }

  #run(
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    reply: CommandReply,
  ): void {
    const task = this.#task;
    task.reset();
    task.cdb.fill(0);
    task.cdb.set(cdb.length > 16 ? cdb.subarray(0, 16) : cdb);
    const isOut = direction === "out";
    const isIn = direction === "in";
    this.#dataAddress = dataAddress;
    this.#dataBytes = dataBytes;
    task.expectedOutBytes = isOut ? dataBytes : 0;
    task.expectedInBytes = isIn ? dataBytes : 0;
    task.inAddress = isIn ? dataAddress : 0;
    this.medium.inCapacityBytes = isIn ? dataBytes : 0;
    this.medium.outAddress = dataAddress;
    task.startedMs = this.#clock.nowMs();
    this.unit.execute(task);

    reply.status = task.status;
    if (isIn) {
      const bytes = Math.min(task.inBytes, dataBytes);
      if (bytes > 0 && task.inAddress !== dataAddress) libc.memcpy(dataAddress, task.inAddress, bytes);
      reply.transferredBytes = bytes;
    } else {
      reply.transferredBytes = task.outReceived;
    }
    if (task.senseBytes > 0) {
      reply.sense.set(task.sense);
      reply.senseBytes = task.senseBytes;
    }
  }

  onPlaced(task: Task): void {
    const bytes = Math.min(task.outBytes, this.#dataBytes, task.expectedOutBytes);
    if (bytes > 0 && task.outAddress !== this.#dataAddress)
      libc.memcpy(task.outAddress, this.#dataAddress, bytes);
    task.outReceived = bytes;
    this.unit.dataOutComplete(task);
  }

  onComplete(): void {
    // Everything is complete when the unit returns: `#run` takes the answer from the task.
  }

  // --- the robot's side ---

  /** The robot puts a cartridge in; the drive threads it. */
  insert(cartridgePath: string): InsertOutcome {
    if (this.medium.medium.present) return { kind: "full" };
    const problem = this.medium.insert(cartridgePath);
    if (problem !== null) return problem;
    this.unit.mediumChanged();
    return { kind: "inserted" };
  }

  /** The robot takes the cartridge out (unloading it first, if the host did not). */
  eject(): EjectOutcome {
    return this.medium.eject();
  }

  close(): void {
    this.medium.close();
  }
}
