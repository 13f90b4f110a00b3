/** @module One session (one I_T nexus, one connection): the command window and the life of its tasks.
 *
 *  (1) A non-immediate request is taken when its CmdSN is ExpCmdSN; outside of the window it is ignored without a word
 *      (RFC 7143 §4.2.2.1). The window is what is free in the task pool, so it is the back-pressure on commands.
 *  (2) The callbacks of a unit (`onPlaced`, `onComplete`) only take notes here: the target never calls a unit from within
 *      a unit's call, and never sends from there.
 *  (3) A command's answer waits until the initiator has sent what it was asked for or promised, so an ITT never
 *      comes back while data of its last use may still arrive.
 *  (4) An aborted task keeps its place in the pool until its unit has completed it. Its data goes to nowhere from
 *      the moment of `unit.abort`: recv() runs on this thread only, so no byte reaches the place afterwards. */
import type { SharedMemory } from "../base/memory.ts";
import type { SessionParameters } from "../iscsi/keys.ts";
import { nextSerial, serialDifference } from "../iscsi/pdu.ts";
import { stampSequence } from "../iscsi/responses.ts";
import { encodeFixedSense } from "../scsi/sense.ts";
import type { LogicalUnit } from "../scsi/unit/ports.ts";
import { type Nexus, STATUS_CHECK_CONDITION, type Task, type TaskOwner } from "../scsi/unit/task.ts";
import { stageTask } from "./answers.ts";
import type { Connection } from "./connection.ts";
import { ENTRY_DATA_IN, ENTRY_STATUS, type Output, type OutputSource } from "./output.ts";
import type { TargetStats } from "./stats.ts";
import { COMMANDS_MAX, COMMANDS_RESERVE, IscsiTask, type TaskPool } from "./tasks.ts";

/** What a session needs of its target. */
export interface SessionHost {
  readonly memory: SharedMemory;
  readonly stats: TargetStats;
  readonly units: ReadonlyMap<number, LogicalUnit>;
  /** The unit behind a LUN; one that says "not supported" where there is none. */
  unitOf(lun: number): LogicalUnit;
  /** Notes a task whose place has come. */
  placed(task: IscsiTask): void;
  /** Deals with all tasks noted by `placed`. */
  drainPlaced(): void;
  /** Aborts the open tasks of every session on this LUN (-1: on all). */
  abortAll(lun: number): void;
  /** TARGET COLD RESET: every session ends once its answers are sent. */
  endAllSessions(): void;
  /** The session is closed and none of its tasks is open any more. */
  sessionGone(session: Session): void;
}

let nexusCount = 0;

export class Session implements TaskOwner, OutputSource {
  readonly host: SessionHost;
  readonly connection: Connection;
  readonly nexus: Nexus;
  readonly discovery: boolean;
  readonly tsih: number;
  readonly isid: string;
  readonly parameters: SessionParameters;
  /** null in a discovery session. */
  readonly pool: TaskPool | null;
  expCmdSN: number;
  maxCmdSN: number;
  closed = false;
  #gone = false;

  constructor(
    host: SessionHost,
    connection: Connection,
    identity: { initiatorName: string; isid: string; tsih: number; discovery: boolean },
    parameters: SessionParameters,
    pool: TaskPool | null,
    cmdSN: number,
  ) {
    this.host = host;
    this.connection = connection;
    this.discovery = identity.discovery;
    this.tsih = identity.tsih;
    this.isid = identity.isid;
    this.nexus = {
      id: ++nexusCount,
      initiatorName: identity.initiatorName,
      initiatorPort: `${identity.initiatorName},i,0x${identity.isid}`,
    };
    this.parameters = parameters;
    this.pool = pool;
    this.expCmdSN = cmdSN;
    this.maxCmdSN = (cmdSN - 1) >>> 0;
  }

  get openTasks(): number {
    return this.pool?.open ?? 0;
  }

  /** Takes a non-immediate request in: "take", "ignore", or "gap" (one before it is missing). */
  acceptCmdSN(cmdSN: number): "take" | "ignore" | "gap" {
    const ahead = serialDifference(cmdSN, this.expCmdSN);
    if (ahead < 0 || serialDifference(cmdSN, this.maxCmdSN) > 0) return "ignore";
    if (ahead > 0) return "gap";
    this.expCmdSN = nextSerial(cmdSN);
    return "take";
  }

  /** Places that the initiator was told of and has not used. */
  get promised(): number {
    return serialDifference(this.maxCmdSN, this.expCmdSN) + 1;
  }

  #widen(leaving: number): void {
    const free = this.pool === null ? COMMANDS_MAX : this.pool.free - COMMANDS_RESERVE + leaving;
    const max = (this.expCmdSN + Math.max(0, free) - 1) >>> 0;
    if (serialDifference(max, this.maxCmdSN) > 0) this.maxCmdSN = max;
  }

  stamp(at: number, advances: boolean): void {
    this.#widen(0);
    stampSequence(this.host.memory.view, at, this.connection.statSN, this.expCmdSN, this.maxCmdSN);
    if (advances) this.connection.statSN = nextSerial(this.connection.statSN);
  }

  /** As `stamp`, for the last Data-In of a task: its place is free as soon as that is sent. */
  stampLeaving(at: number): void {
    this.#widen(1);
    this.stamp(at, true);
  }

  stageTask(output: Output, kind: number, index: number, generation: number, at: number): number {
    return stageTask(this, output, kind, index, generation, at);
  }

  sent(task: IscsiTask): void {
    this.release(task);
  }

  onPlaced(task: Task): void {
    if (task instanceof IscsiTask) this.host.placed(task);
  }

  onComplete(task: Task): void {
    if (!(task instanceof IscsiTask)) return;
    if (task.forgotten || this.closed) this.release(task);
    else if (task.owesData) task.held = true;
    else this.answer(task);
  }

  /** Queues the answer of a completed task. */
  answer(task: IscsiTask): void {
    task.held = false;
    task.answering = true;
    if (task.spoiltBy !== null) {
      task.inBytes = 0;
      task.status = STATUS_CHECK_CONDITION;
      task.senseBytes = encodeFixedSense(task.spoiltBy, task.sense);
    }
    this.host.stats.answered(task.startedMs);
    const dataIn = task.inBytes > 0 && task.expectedInBytes > 0;
    this.connection.output.pushTask(dataIn ? ENTRY_DATA_IN : ENTRY_STATUS, task);
    this.connection.markDirty();
  }

  /** The task is over: its data-in and its place are free. */
  release(task: IscsiTask): void {
    if (!task.inUse) return;
    const owner = task.dataInOwner;
    task.dataInOwner = null;
    this.pool?.give(task);
    if (owner !== null) owner.dataInTaken(task);
    if (this.closed) this.#endWhenEmpty();
  }

  /** ABORT TASK and its like: no answer will go out. false: the answer is on its way already. */
  abort(task: IscsiTask): boolean {
    if (!task.inUse || task.forgotten) return true;
    if (task.answering) return false;
    this.#forget(task);
    return true;
  }

  #forget(task: IscsiTask): void {
    const told = task.spoilt;
    task.spoiltBy = null;
    task.aborted = true;
    if (task.completed) this.release(task);
    else if (!told) task.unit?.abort(task);
  }

  /** Aborts the open tasks on a LUN (-1: all). */
  abortTasks(lun: number): void {
    if (this.pool === null) return;
    for (const task of this.pool.tasks) if (task.inUse && (lun < 0 || task.lun === lun)) this.abort(task);
  }

  /** The connection is gone: open tasks are aborted, then every unit hears that the nexus is lost. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    if (this.pool !== null) {
      for (const task of this.pool.tasks) if (task.inUse && !task.forgotten) this.#forget(task);
      for (const unit of this.host.units.values()) unit.nexusLost(this.nexus.id);
    }
    this.#endWhenEmpty();
  }

  #endWhenEmpty(): void {
    if (this.#gone || this.openTasks > 0) return;
    this.#gone = true;
    this.host.sessionGone(this);
  }
}
