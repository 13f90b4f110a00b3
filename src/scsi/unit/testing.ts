/** @module Test equipment: an initiator that runs one command at a time against a unit, and trivial ports. The tape is a list of
 *  block lengths and filemarks without data: enough for every rule of the unit. */
import type { Sense } from "../sense.ts";
import { parseSense } from "../sense.ts";
import type { ChangerPort, Element, LogicalUnit, TapeMedium, TapePort } from "./ports.ts";
import { completeReadPosition, TapePosition } from "./tape-position.ts";
import {
  beginningOfPartitionSense,
  endOfDataSense,
  filemarkSense,
  fixedReadSense,
  locateEndOfDataSense,
  variableReadSense,
} from "./tape-sense.ts";
import {
  type Nexus,
  PARAMETERS_BYTES,
  STATUS_GOOD,
  STATUS_TASK_ABORTED,
  Task,
  type TaskOwner,
} from "./task.ts";

/** Where the fake task pretends its parameter buffer to lie. */
const PARAMETERS_ADDRESS = 0x10000;
const DATA_ADDRESS = 0x40000;

export function nexus(id: number, port = `iqn.2024-01.test:host${id},i,0x${id}`): Nexus {
  return { id, initiatorName: `iqn.2024-01.test:host${id}`, initiatorPort: port };
}

export interface Answer {
  readonly status: number;
  readonly sense: Sense | null;
  readonly data: Uint8Array;
  readonly inBytes: number;
  readonly completions: number;
  /** Data-out that the command asked for. */
  readonly outBytes: number;
}

/** Runs commands to their end; a task that waits for data-out gets `dataOut`, zeros where that is too short. */
export class FakeInitiator implements TaskOwner {
  readonly task = new Task(new Uint8Array(PARAMETERS_BYTES), PARAMETERS_ADDRESS);
  completions = 0;
  private dataOut: Uint8Array = new Uint8Array(0);

  constructor(
    private readonly unit: LogicalUnit,
    readonly host: Nexus = nexus(1),
  ) {
    this.task.owner = this;
    this.task.nexus = host;
  }

  run(cdb: readonly number[] | Uint8Array, dataOut: Uint8Array = new Uint8Array(0)): Answer {
    const { task } = this;
    task.reset();
    task.cdb.fill(0);
    task.cdb.set(cdb);
    this.completions = 0;
    this.dataOut = dataOut;
    this.unit.execute(task);
    const isParameters = task.inAddress === PARAMETERS_ADDRESS;
    return {
      status: task.status,
      sense: task.senseBytes === 0 ? null : parseSense(task.sense.subarray(0, task.senseBytes)),
      data: isParameters ? task.parameters.slice(0, task.inBytes) : new Uint8Array(0),
      inBytes: task.inBytes,
      completions: this.completions,
      outBytes: task.outBytes,
    };
  }

  /** Past the attentions of a new nexus. */
  settle(): this {
    for (let i = 0; i < 8 && this.run([0]).sense?.key === 6; i++);
    return this;
  }

  onPlaced(task: Task): void {
    if (task.outAddress === PARAMETERS_ADDRESS) {
      task.parameters.fill(0, 0, Math.min(task.outBytes, task.parameters.length));
      task.parameters.set(this.dataOut.subarray(0, Math.min(task.outBytes, task.parameters.length)));
    }
    task.outReceived = task.outBytes;
    this.unit.dataOutComplete(task);
  }

  onComplete(): void {
    this.completions++;
  }
}

const FILEMARK = -1;

export class FakeTapePort implements TapePort {
  readonly medium: TapeMedium = {
    loaded: true,
    present: true,
    writeProtected: false,
    barcode: "UND001L8",
    serial: "MED0000001",
    capacityBytes: 100_000_000,
    remainingBytes: 60_000_000,
    densityCode: 0x5e,
    mediumType: 0x88,
  };
  /** Block lengths, -1 for a filemark. */
  readonly objects: number[] = [];
  at = 0;
  blocking: Sense | null = null;
  alerts: number[] = [];
  prevented = false;
  /** Operations as they arrived. */
  readonly submitted: string[] = [];
  private readonly position = new TapePosition();

  notReady(): Sense | null {
    return this.blocking;
  }

  takeTapeAlerts(): readonly number[] {
    const flags = this.alerts;
    this.alerts = [];
    return flags;
  }

  setRemovalPrevented(prevented: boolean): void {
    this.prevented = prevented;
  }

  abort(task: Task): void {
    task.complete(STATUS_TASK_ABORTED);
  }

  submit(task: Task): void {
    this.submitted.push(task.tape.operation);
    if (task.tape.operation === "write") task.place(DATA_ADDRESS);
    else this.carryOut(task);
  }

  dataOutComplete(task: Task): void {
    const { fixed, count, blockBytes } = task.tape;
    this.objects.length = this.at;
    for (let i = 0; i < (fixed ? Math.min(count, 4096) : 1); i++)
      this.objects.push(fixed ? blockBytes : count);
    this.at = this.objects.length;
    task.complete(STATUS_GOOD);
  }

  private carryOut(task: Task) {
    const { tape } = task;
    const end = (sense: Sense | null): void =>
      sense === null ? task.complete(STATUS_GOOD) : task.completeWithSense(sense);
    switch (tape.operation) {
      case "read":
      case "verify":
        return end(this.read(task));
      case "writeFilemarks":
        this.objects.length = this.at;
        for (let i = 0; i < Math.min(tape.count, 4096); i++) this.objects.push(FILEMARK);
        this.at = this.objects.length;
        return end(null);
      case "space":
        return end(this.space(tape.spaceCode, tape.count));
      case "locate":
        this.at = Math.min(tape.destination, this.objects.length);
        return end(tape.destination > this.objects.length ? locateEndOfDataSense : null);
      case "readPosition":
        this.position.bop = this.at === 0;
        this.position.first = this.position.last = this.at;
        this.position.fileNumber = this.objects
          .slice(0, this.at)
          .filter((bytes) => bytes === FILEMARK).length;
        return completeReadPosition(task, this.position);
      case "erase":
        this.objects.length = this.at;
        return end(null);
      case "load":
        this.medium.loaded = true;
        this.at = 0;
        return end(null);
      case "unload":
        this.medium.loaded = false;
        this.at = 0;
        return end(null);
      default:
        this.at = 0;
        return end(null);
    }
  }

  private read(task: Task): Sense | null {
    const { fixed, count, blockBytes, sili, modeBlockBytes, operation } = task.tape;
    const wanted = fixed ? count : 1;
    for (let done = 0; done < wanted; done++) {
      const object = this.objects[this.at];
      const residual = fixed ? count - done : count;
      if (object === undefined) return endOfDataSense(residual);
      this.at++;
      if (object === FILEMARK) return filemarkSense(residual);
      if (operation === "read") {
        task.inAddress = DATA_ADDRESS;
        task.inBytes += fixed ? (object === blockBytes ? object : 0) : Math.min(object, count);
      }
      if (!fixed) return variableReadSense(count, object, sili, modeBlockBytes);
      if (object !== blockBytes) return fixedReadSense(count, done);
    }
    return null;
  }

  private space(code: number, count: number): Sense | null {
    if (code === 3) {
      this.at = this.objects.length;
      return null;
    }
    const step = count < 0 ? -1 : 1;
    for (let left = Math.abs(count); left > 0; ) {
      if (step < 0 && this.at === 0) return beginningOfPartitionSense(left);
      if (step > 0 && this.at === this.objects.length) return endOfDataSense(left);
      const object = this.objects[step > 0 ? this.at : this.at - 1];
      this.at += step;
      if (code === 0 && object === FILEMARK) return filemarkSense(left);
      if ((object === FILEMARK) === (code === 1)) left--;
    }
    return null;
  }
}

/** Robot 1, slots 1000.., mail slot 500, drives 256.. */
export class FakeChangerPort implements ChangerPort {
  readonly all: Element[] = [];
  readonly moves: string[] = [];
  blocking: Sense | null = null;
  prevented = false;

  constructor(slots = 4, driveSerials: readonly string[] = ["UND0000001", "UND0000002"]) {
    const place = { barcode: null, source: null, accessible: true };
    this.all.push({ type: 1, address: 1, ...place });
    for (const [index, serial] of driveSerials.entries()) {
      const drive = { lun: index + 1, serial, vendor: "UNDRSTDY", product: "VIRTUAL-LTO8" };
      this.all.push({ type: 4, address: 256 + index, ...place, drive });
    }
    this.all.push({ type: 3, address: 500, ...place });
    for (let i = 0; i < slots; i++) {
      const barcode = i % 2 === 0 ? `UND${String(i + 1).padStart(3, "0")}L8` : null;
      this.all.push({ type: 2, address: 1000 + i, ...place, barcode });
    }
  }

  elements(): readonly Element[] {
    return this.all;
  }

  moveMedium(task: Task, transport: number, source: number, destination: number): void {
    this.moves.push(`${transport}: ${source} -> ${destination}`);
    task.complete(STATUS_GOOD);
  }

  exchangeMedium(task: Task, transport: number, source: number, first: number, second: number): void {
    this.moves.push(`${transport}: ${source} -> ${first} -> ${second}`);
    task.complete(STATUS_GOOD);
  }

  initializeElementStatus(task: Task): void {
    task.complete(STATUS_GOOD);
  }

  setRemovalPrevented(prevented: boolean): void {
    this.prevented = prevented;
  }

  notReady(): Sense | null {
    return this.blocking;
  }
}
