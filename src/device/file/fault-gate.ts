/** @module Where faults meet commands: each medium command of a file drive passes here first. */
import type { Sense } from "../../scsi/sense.ts";
import { KEY_HARDWARE_ERROR } from "../../scsi/senses.ts";
import { transferFault } from "../../scsi/unit/tape-sense.ts";
import { STATUS_TASK_ABORTED, type Task } from "../../scsi/unit/task.ts";
import type { DriveFaults, FaultWhat } from "./faults.ts";
import type { DriveClock } from "./pace.ts";

// TapeAlert flags (SSC-5 annex A).
export const ALERT_READ_FAILURE = 5;
export const ALERT_WRITE_FAILURE = 6;
export const ALERT_EJECT = 16;
export const ALERT_HARDWARE = 30;

const HUNG_TICK_MS = 5;

export class FaultGate {
  /** A hang is given up at this time (clock of the drive). Set by the transport for each command. */
  deadlineMs = Number.POSITIVE_INFINITY;
  /** The command in hand gets no answer. Cleared by the transport for each command. */
  unanswered = false;

  constructor(
    readonly faults: DriveFaults,
    private readonly clock: DriveClock,
    /** Cuts the cartridge back to what was on the medium. */
    private readonly loseBuffer: () => void,
    private readonly whileHung: (() => void) | undefined,
  ) {}

  /** Carries out what the armed rules want of this command, which starts at object `lba`; false: the task is over. */
  pass(task: Task, lba: number): boolean {
    const { faults } = this;
    const what = faults.meet(task.tape.operation, lba);
    if (what !== null && !this.suffer(what, task)) return false;
    if (!this.waitWhileHung()) return this.leaveUnanswered(task);
    if (faults.broken !== null) {
      task.completeWithSense(faults.broken);
      return false;
    }
    return true;
  }

  /** A fault of threading: the cartridge is in the drive, whatever becomes of it. false: it is not threaded. */
  passLoad(): boolean {
    const what = this.faults.meet("load", 0);
    if (what === null) return true;
    if (what.kind !== "sense") {
      this.sufferSilently(what);
      return true;
    }
    if (what.key === KEY_HARDWARE_ERROR) this.breakDown(transferFault(what.key, what.asc, what.ascq));
    return false;
  }

  private suffer(what: FaultWhat, task: Task): boolean {
    if (what.kind !== "sense") {
      this.sufferSilently(what);
      return what.kind === "vanish" ? this.leaveUnanswered(task) : true;
    }
    const { key, asc, ascq, deferred } = what;
    if (what.loseBuffer) this.loseBuffer();
    if (key === KEY_HARDWARE_ERROR) this.breakDown(transferFault(key, asc, ascq));
    else this.faults.alerts.add(task.tape.operation === "read" ? ALERT_READ_FAILURE : ALERT_WRITE_FAILURE);
    const residual = isTransfer(task) && !deferred ? task.tape.count : undefined;
    task.completeWithSense(transferFault(key, asc, ascq, residual, deferred));
    return false;
  }

  /** Faults that are not answered with sense by themselves. */
  private sufferSilently(what: Exclude<FaultWhat, { kind: "sense" }>): void {
    const { faults } = this;
    switch (what.kind) {
      case "hang":
        faults.hangsUntilMs = this.clock.nowMs() + what.durationMs;
        return;
      case "vanish":
        faults.vanished = true;
        if (what.loseBuffer) this.loseBuffer();
        return;
      case "noAnswer":
        this.unanswered = true;
        return;
      case "writeProtect":
        faults.writeProtected = true;
        return;
      case "stuck":
        faults.stuck = true;
        return;
    }
  }

  private breakDown(sense: Sense): void {
    this.faults.broken = sense;
    this.faults.alerts.add(ALERT_HARDWARE);
  }

  private leaveUnanswered(task: Task): false {
    this.unanswered = true;
    task.complete(STATUS_TASK_ABORTED);
    return false;
  }

  /** Blocks while a fault makes the drive hang; false: the deadline came first. */
  waitWhileHung(): boolean {
    const { faults } = this;
    while (faults.hangsUntilMs > 0) {
      const nowMs = this.clock.nowMs();
      if (nowMs >= faults.hangsUntilMs) {
        faults.hangsUntilMs = 0;
        break;
      }
      if (nowMs >= this.deadlineMs) return false;
      const restMs = Math.min(faults.hangsUntilMs, this.deadlineMs) - nowMs;
      this.clock.sleepMs(Math.min(HUNG_TICK_MS, restMs));
      this.whileHung?.();
    }
    return true;
  }
}

function isTransfer(task: Task): boolean {
  const { operation } = task.tape;
  return operation === "write" || operation === "read" || operation === "writeFilemarks";
}
