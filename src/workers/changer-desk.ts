/** @module The changer's port in the front Worker: elements as main last told them, moves asked of main. A cartridge
 *  leaves a drive only when all of it is on tape (rule 12): until then the move waits here. */
import type { DeviceMemory } from "../director/tee/device-memory.ts";
import type { TeePort } from "../director/tee/tee-port.ts";
import type { Sense } from "../scsi/sense.ts";
import { mediumRemovalPrevented } from "../scsi/senses.ts";
import type { ChangerPort, Element } from "../scsi/unit/ports.ts";
import { STATUS_GOOD, STATUS_TASK_ABORTED, type Task } from "../scsi/unit/task.ts";
import type { WorkerNotice } from "./protocol.ts";

export interface FrontDrive {
  readonly elementAddress: number;
  readonly device: DeviceMemory;
  readonly tee: TeePort;
}

interface PendingMove {
  readonly task: Task;
  readonly source: number;
  readonly destination: number;
  moveId: number;
}

export class ChangerDesk implements ChangerPort {
  private list: readonly Element[] = [];
  private readonly moves: PendingMove[] = [];
  private moveIdNext = 1;
  private prevented = false;

  constructor(
    private readonly drives: readonly FrontDrive[],
    private readonly tell: (notice: WorkerNotice) => void,
  ) {}

  setElements(elements: readonly Element[]): void {
    this.list = elements;
  }

  elements(): readonly Element[] {
    return this.list;
  }

  notReady(): Sense | null {
    return null;
  }

  setRemovalPrevented(prevented: boolean): void {
    this.prevented = prevented;
  }

  get removalPrevented(): boolean {
    return this.prevented;
  }

  initializeElementStatus(task: Task): void {
    task.complete(STATUS_GOOD);
  }

  moveMedium(task: Task, _transport: number, source: number, destination: number): void {
    const drive = this.driveAt(source);
    if (drive?.tee.removalPrevented) {
      task.completeWithSense(mediumRemovalPrevented);
      return;
    }
    this.moves.push({ task, source, destination, moveId: 0 });
    this.advance();
  }

  /** EXCHANGE is two moves; libraries of one robot hand refuse it, and hosts then move by themselves. */
  exchangeMedium(task: Task, _transport: number, _source: number, _first: number, _second: number): void {
    task.completeWithSense({ key: 0x5, asc: 0x20, ascq: 0x00 });
  }

  /** Sends the next move to main once it may go; true while one waits. */
  advance(): boolean {
    const move = this.moves[0];
    if (move === undefined) return false;
    if (move.moveId !== 0) return false;
    if (move.task.aborted) {
      this.moves.shift();
      move.task.complete(STATUS_TASK_ABORTED);
      return this.moves.length > 0;
    }
    const drive = this.driveAt(move.source);
    if (drive !== null && !drive.tee.settled) {
      drive.tee.requestSettled();
      return true;
    }
    drive?.tee.setDeparting(true);
    move.moveId = this.moveIdNext++;
    this.tell({ kind: "move", moveId: move.moveId, source: move.source, destination: move.destination });
    return false;
  }

  moved(moveId: number, sense: Sense | null): void {
    const move = this.moves[0];
    if (move === undefined || move.moveId !== moveId) return;
    this.moves.shift();
    this.driveAt(move.source)?.tee.setDeparting(false);
    if (sense === null) move.task.complete(STATUS_GOOD);
    else move.task.completeWithSense(sense);
    this.advance();
  }

  private driveAt(address: number): FrontDrive | null {
    return this.drives.find((drive) => drive.elementAddress === address) ?? null;
  }
}
