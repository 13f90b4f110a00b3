/** @module What the logical units stand on. A unit decodes, checks and encodes; the port does the thing.
 *  Two ports implement TapePort: the tee (in front of the host) and the file medium (inside a file drive), so
 *  every rule of the SSC unit is exercised from both ends. Only data and tasks cross; ports never see a CDB. */
import type { Sense } from "../sense.ts";
import type { Task } from "./task.ts";

/** What a tape unit must know of its medium to answer by itself; the port keeps it current. */
export interface TapeMedium {
  /** A cartridge is loaded and threaded. */
  loaded: boolean;
  /** A cartridge is in the drive at all (unloaded but present: NOT READY 04/02 instead of 3A/00). */
  present: boolean;
  writeProtected: boolean;
  /** Barcode or "". */
  barcode: string;
  /** Cartridge's own serial (MAM 0401h) or "". */
  serial: string;
  /** Native capacity and what remains at end of data by the port's rule (bytes). */
  capacityBytes: number;
  remainingBytes: number;
  densityCode: number;
  mediumType: number;
}

/** The medium of a drive without a cartridge. */
export function emptyMedium(): TapeMedium {
  return {
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
}

/** Counters for the log pages, since power on or LOG SELECT's reset. */
export interface TapeFigures {
  /** As the host counts. */
  readonly writtenBytes: number;
  readonly readBytes: number;
  /** As the medium counts: after compression. */
  readonly mediumWrittenBytes: number;
  readonly mediumReadBytes: number;
  /** Unrecovered errors. */
  readonly writeErrors: number;
  readonly readErrors: number;
  /** Of the loaded cartridge in its life. */
  readonly loads: number;
}

export interface TapePort {
  readonly medium: TapeMedium;
  /** Counters for LOG SENSE; a port without them shows zeros. */
  readonly figures?: TapeFigures;
  /** LOG SELECT asks for all counters to be zero. */
  resetFigures?(): void;
  /** Takes a decoded medium command (`task.tape`); tasks are carried out in the order submitted.
   *  For "write" the port calls `task.place()` once it has room (unless `task.outAddress` is set already, then at once
   *  goes on as if the data had arrived), and completes after `dataOutComplete`. */
  submit(task: Task): void;
  /** All of the data-out is at its place (`task.outReceived` says how much; less than outBytes: write what came). */
  dataOutComplete(task: Task): void;
  /** The task is to be forgotten; the port completes it with nothing or finishes what cannot be undone. */
  abort(task: Task): void;
  /** Sense for TEST UNIT READY and for medium commands while something is in the way, else null. */
  notReady(): Sense | null;
  /** TapeAlert flags that are set now (numbers 1..64). Reading them may clear them (LOG SENSE 2Eh). */
  takeTapeAlerts(): readonly number[];
  /** The host prevented / allowed removal. */
  setRemovalPrevented(prevented: boolean): void;
}

export type ElementType = 1 | 2 | 3 | 4; // medium transport, storage, import/export, data transfer (SMC-3)

export interface Element {
  readonly type: ElementType;
  readonly address: number;
  /** Volume tag of the cartridge in it; null: empty. */
  barcode: string | null;
  /** Where the cartridge came from (storage element address), if known. */
  source: number | null;
  accessible: boolean;
  /** Data transfer elements: the drive's identity as READ ELEMENT STATUS DVCID reports it (equals the drive's VPD 83/80). */
  drive?: { lun: number; serial: string; vendor: string; product: string };
  exception?: { asc: number; ascq: number };
}

export interface ChangerPort {
  elements(): readonly Element[];
  /** Completes the task when the robot is done (GOOD or sense). */
  moveMedium(task: Task, transport: number, source: number, destination: number): void;
  exchangeMedium(task: Task, transport: number, source: number, first: number, second: number): void;
  initializeElementStatus(task: Task): void;
  setRemovalPrevented(prevented: boolean): void;
  notReady(): Sense | null;
}

/** What the target sees of a unit. */
export interface LogicalUnit {
  execute(task: Task): void;
  dataOutComplete(task: Task): void;
  abort(task: Task): void;
  /** LOGICAL UNIT RESET / target reset: aborts, clears, 29h unit attention for every nexus. */
  reset(cause: "lun" | "target" | "powerOn"): void;
  /** The nexus is gone: its reservation and unit attentions go with it. */
  nexusLost(nexusId: number): void;
}
