/** @module One SCSI task (SAM-5 §4.5): a command on its way through a logical unit.
 *
 *  Tasks come from a pool and are used again: nothing is allocated for a block. Bulk data never enters the JS heap:
 *  it lies at native addresses (`outAddress`, `inAddress`); small parameter data lies in `parameters`, which
 *  has a native address too.
 *
 *  The life of a task:  owner fills cdb, nexus, expected lengths -> `unit.execute(task)`
 *    - no data-out:  the unit calls `task.complete...` now or later
 *    - data-out:     the unit (or the port behind it) sets `outBytes` and calls `task.place(address)` when it has a
 *                    place, now or later; the owner brings the data there and calls `unit.dataOutComplete(task)`
 *  `owner.onComplete` is called exactly once a task.
 */
import { encodeFixedSense, type Sense } from "../sense.ts";

export const STATUS_GOOD = 0x00;
export const STATUS_CHECK_CONDITION = 0x02;
export const STATUS_BUSY = 0x08;
export const STATUS_RESERVATION_CONFLICT = 0x18;
export const STATUS_TASK_SET_FULL = 0x28;
export const STATUS_TASK_ABORTED = 0x40;

/** An I_T nexus (SAM-5): one initiator port and one target port; `id` is unique in the process. */
export interface Nexus {
  readonly id: number;
  readonly initiatorName: string;
  /** Initiator port name with ISID, as persistent reservations need it. */
  readonly initiatorPort: string;
}

/** Whoever carries the task's data: an iSCSI session, or the transport of a file drive. */
export interface TaskOwner {
  /** A place for the data-out is at `task.outAddress` now. */
  onPlaced(task: Task): void;
  /** `task.status`, `task.sense`, `task.inBytes` are final. */
  onComplete(task: Task): void;
}

/** A port whose data-in lies in memory that it wants to use again (a drive's read buffer). */
export interface DataInOwner {
  /** The task's data-in was taken (or its host is gone): nobody reads `task.inAddress` any more. */
  dataInTaken(task: Task): void;
}

export type TapeOperation =
  | "none"
  | "write"
  | "writeFilemarks"
  | "read"
  | "verify"
  | "space"
  | "locate"
  | "rewind"
  | "load"
  | "unload"
  | "readPosition"
  | "erase";

/** A medium command as the SSC unit decoded it; which fields count depends on `operation`. */
export class TapeCommand {
  operation: TapeOperation = "none";
  /** write/read/verify: transfer length: blocks where `fixed`, else bytes. writeFilemarks/space: count (space: signed). */
  count = 0;
  fixed = false;
  /** Block length in force for a fixed transfer (bytes); 0 in variable mode. */
  blockBytes = 0;
  /** Block length of the mode parameters, whatever the FIXED bit says (READ's overlength rule asks for it). */
  modeBlockBytes = 0;
  /** Suppress incorrect-length indicator. */
  sili = false;
  immediate = false;
  /** SPACE code: 0 blocks, 1 filemarks, 3 end-of-data. */
  spaceCode = 0;
  /** LOCATE: logical object number (destType 0), filemark number (1), or end of data (3). */
  destination = 0;
  destinationType = 0;
  partition = 0;
  /** READ POSITION service action: 0 short, 6 long, 8 extended (then `count` is the allocation length). */
  serviceAction = 0;
  /** WRITE: buffered mode in force (0: GOOD only when on medium). */
  bufferedMode = 1;
  long = false;
}

export const PARAMETERS_BYTES = 65536;

export class Task {
  readonly cdb = new Uint8Array(16);
  readonly tape = new TapeCommand();
  nexus!: Nexus;
  owner!: TaskOwner;
  lun = 0;
  /** The owner's handle (iSCSI: initiator task tag). */
  tag = 0;
  /** Bytes that the initiator says it will send / accept (iSCSI: expected data transfer length). */
  expectedOutBytes = 0;
  expectedInBytes = 0;

  /** Data-out that the command takes by its CDB, and where it goes (0: no place yet). */
  outBytes = 0;
  outAddress = 0;
  /** Data-out that did arrive. */
  outReceived = 0;

  /** Data-in of the answer. */
  inAddress = 0;
  inBytes = 0;

  /** Set by the port before it completes with data of its own; the owner calls `dataInTaken` exactly once after that. */
  dataInOwner: DataInOwner | null = null;

  /** Small parameter data, either way. */
  readonly parameters: Uint8Array;
  readonly parametersAddress: number;

  status = 0;
  readonly sense = new Uint8Array(252);
  senseBytes = 0;
  completed = false;
  aborted = false;
  /** Milliseconds (monotonic) when the owner took the command in. */
  startedMs = 0;

  // --- free for the port: the tee keeps its place in the journal here ---
  entryOffset = -1;
  portState = 0;
  portValue = 0;

  constructor(parameters: Uint8Array, parametersAddress: number) {
    this.parameters = parameters;
    this.parametersAddress = parametersAddress;
  }

  /** Makes a pooled task ready for its next command. */
  reset(): void {
    this.tape.operation = "none";
    this.outBytes = this.outAddress = this.outReceived = 0;
    this.inAddress = this.inBytes = 0;
    this.dataInOwner = null;
    this.status = this.senseBytes = 0;
    this.completed = this.aborted = false;
    this.entryOffset = -1;
    this.portState = this.portValue = 0;
  }

  /** A place of `outBytes` for the data-out is free at this native address. */
  place(address: number): void {
    this.outAddress = address;
    this.owner.onPlaced(this);
  }

  /** Ends with a status and no data. */
  complete(status: number): void {
    if (this.completed) return;
    this.completed = true;
    this.status = status;
    this.owner.onComplete(this);
  }

  /** GOOD with `bytes` of data-in at a native address (default: the parameter buffer). */
  completeWithData(bytes: number, address: number = this.parametersAddress): void {
    this.inAddress = address;
    this.inBytes = bytes;
    this.complete(STATUS_GOOD);
  }

  /** CHECK CONDITION with sense; data-in set before (`inAddress`, `inBytes`) still goes out with it. */
  completeWithSense(sense: Sense): void {
    this.senseBytes = encodeFixedSense(sense, this.sense);
    this.complete(STATUS_CHECK_CONDITION);
  }

  /** CHECK CONDITION with sense bytes as a drive gave them. */
  completeWithRawSense(bytes: Uint8Array): void {
    const length = Math.min(bytes.length, this.sense.length);
    this.sense.set(bytes.subarray(0, length));
    this.senseBytes = length;
    this.complete(STATUS_CHECK_CONDITION);
  }
}
