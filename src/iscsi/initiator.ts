/** @module The iSCSI initiator (RFC 7143): one session over one connection, used by one thread, which it blocks.
 *
 *  (1) It never sends a command again and never reconnects. After a loss every command outstanding ends as not reached,
 *      with what is known: not sent, or may or may not have been carried out. The caller decides (READ POSITION).
 *  (2) A command without an answer in its time ends the session: only then is its memory the caller's again for sure.
 *  (3) Data lies at native addresses and is neither copied nor touched after the command ended.
 *  (4) No allocation a command.
 *
 *      const session = Initiator.connect({ host, port, targetName, initiatorName, timeoutMs });
 *      session.execute(lun, cdb, "out", address, bytes, timeoutMs, reply);      // one at a time, or
 *      const place = session.submit(lun, cdb, "out", address, bytes, timeoutMs); // several at once:
 *      session.serve(10); for (let done = session.reap(); done >= 0; ...) session.replyOf(done) */
import type { CommandReply, DataDirection } from "../base/command-reply.ts";
import { errorText } from "../base/ffi.ts";
import { POLLIN, POLLOUT } from "../base/socket.ts";
import type { LoggedIn } from "./initiator-login.ts";
import {
  type DiscoveredTarget,
  discover,
  InitiatorError,
  type InitiatorOptions,
  openSession,
  type PortalOptions,
} from "./initiator-open.ts";
import { PduReader } from "./initiator-reader.ts";
import { Receiver } from "./initiator-receiver.ts";
import { Sender } from "./initiator-sender.ts";
import { InitiatorTask, OWN_TAG, PLACES_MAX } from "./initiator-task.ts";
import type { Wire } from "./initiator-wire.ts";
import type { SessionParameters } from "./keys.ts";
import {
  LOGOUT_SESSION,
  OP_LOGOUT_RESPONSE,
  OP_NOP_IN,
  OP_TASK_MANAGEMENT_RESPONSE,
  TAG_NONE,
  TMF_ABORT_TASK,
  TMF_ABORT_TASK_SET,
  TMF_CLEAR_TASK_SET,
  TMF_COMPLETE,
  TMF_LOGICAL_UNIT_RESET,
  TMF_TARGET_COLD_RESET,
  TMF_TARGET_WARM_RESET,
} from "./pdu.ts";
import { encodeLogout, encodeNopOut, encodeTaskManagement } from "./requests.ts";

export { type DiscoveredTarget, InitiatorError, type InitiatorOptions } from "./initiator-open.ts";

const DEFAULT_DEPTH = 32;
const LOGOUT_MS = 2000;

export class Initiator {
  readonly parameters: SessionParameters;
  readonly targetName: string;
  readonly tsih: number;
  readonly isid: { readonly high: number; readonly low: number };
  readonly #wire: Wire;
  readonly #sender: Sender;
  readonly #receiver: Receiver;
  readonly #reader = new PduReader();
  readonly #tasks: InitiatorTask[];
  readonly #free: Int32Array;
  #freeCount: number;
  readonly #done: Int32Array;
  #firstDone = 0;
  #doneCount = 0;
  #ended = "";

  private constructor(wire: Wire, session: LoggedIn, targetName: string, depth: number) {
    if (depth < 1 || depth > PLACES_MAX)
      throw new InitiatorError(`depth of 1 to ${PLACES_MAX}, not ${depth}`);
    this.#wire = wire;
    this.parameters = session.parameters;
    this.targetName = targetName;
    this.tsih = session.tsih;
    this.isid = session.isid;
    this.#tasks = Array.from({ length: depth }, (_, place) => new InitiatorTask(place));
    this.#free = Int32Array.from({ length: depth }, (_, index) => depth - 1 - index);
    this.#freeCount = depth;
    this.#done = new Int32Array(depth);
    this.#sender = new Sender(wire, session.parameters, session.numbers, depth);
    this.#receiver = new Receiver(
      this.#reader,
      session.parameters,
      session.numbers,
      this.#sender,
      this.#tasks,
    );
  }

  /** Logs in to a normal session; throws InitiatorError. */
  static connect(options: InitiatorOptions): Initiator {
    const deadlineMs = performance.now() + options.timeoutMs;
    const targetName = options.targetName ?? discover(options)[0]?.name;
    if (targetName === undefined) throw new InitiatorError(`${options.host}:${options.port} has no target`);
    const { wire, session } = openSession(options, targetName, deadlineMs);
    return new Initiator(wire, session, targetName, options.depth ?? DEFAULT_DEPTH);
  }

  /** The targets at a portal, by a discovery session; throws InitiatorError. */
  static discover(options: PortalOptions): DiscoveredTarget[] {
    return discover(options);
  }

  /** The session lives; else `cause` says why not. */
  get alive(): boolean {
    return this.#ended === "";
  }

  get cause(): string {
    return this.#ended;
  }

  /** Commands submitted and not yet reaped. */
  get outstanding(): number {
    return this.#tasks.length - this.#freeCount;
  }

  /** Carries out one CDB and waits for its end; other commands outstanding go on meanwhile. */
  execute(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply,
  ): void {
    if (this.#freeCount === 0) throw new InitiatorError("all places are taken: reap first");
    const task = this.#begin(lun, cdb, direction, dataAddress, dataBytes, timeoutMs, reply);
    while (!isOver(task)) this.#turn(task.deadlineMs);
    task.active = false;
    this.#free[this.#freeCount++] = task.place;
  }

  /** Starts one command; its place, or -1 when all are taken (reap first). The session being dead, the command ends at
   *  once as not sent. */
  submit(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
  ): number {
    if (this.#freeCount === 0) return -1;
    const task = this.#begin(lun, cdb, direction, dataAddress, dataBytes, timeoutMs, null);
    return task.place;
  }

  /** Sends and receives until something has ended or `timeoutMs` has passed. */
  serve(timeoutMs: number): void {
    const deadlineMs = performance.now() + timeoutMs;
    do {
      this.#collect();
      if (this.#doneCount > 0 || (!this.alive && this.outstanding === 0)) return;
      this.#turn(deadlineMs);
    } while (performance.now() < deadlineMs);
    this.#collect();
  }

  /** A place whose command has ended, freed by this; -1: none has. Its reply holds until the next `submit`. */
  reap(): number {
    this.#collect();
    if (this.#doneCount === 0) return -1;
    const place = this.#done[this.#firstDone] ?? 0;
    this.#firstDone = (this.#firstDone + 1) % this.#done.length;
    this.#doneCount--;
    this.#free[this.#freeCount++] = place;
    return place;
  }

  replyOf(place: number): CommandReply {
    const task = this.#tasks[place];
    if (task === undefined) throw new InitiatorError(`no place ${place}`);
    return task.ownReply;
  }

  /** Round trip of a NOP-Out in ms; -1: no answer in time (the session has ended then). */
  ping(timeoutMs: number): number {
    const startMs = performance.now();
    const header = this.#own();
    if (header === null) return -1;
    encodeNopOut(header, 0, true, 0, OWN_TAG, TAG_NONE, 0, 0, 0);
    return this.#awaitOwn(OP_NOP_IN, timeoutMs) ? performance.now() - startMs : -1;
  }

  /** A task management function (TMF_*): its response code, or -1 without an answer. `place`: the command meant, for
   *  TMF_ABORT_TASK. When the target has carried it out, the commands that it ends are over, as not reached. */
  taskManagement(taskFunction: number, lun: number, place: number, timeoutMs: number): number {
    const meant = taskFunction === TMF_ABORT_TASK ? this.#tasks[place] : undefined;
    const header = this.#own();
    if (header === null) return -1;
    const referenced = meant?.active && meant.sent ? meant.itt : TAG_NONE;
    const refCmdSN = meant?.cmdSN ?? 0;
    encodeTaskManagement(header, 0, true, taskFunction, lun, OWN_TAG, referenced, refCmdSN, 0, 0);
    if (!this.#awaitOwn(OP_TASK_MANAGEMENT_RESPONSE, timeoutMs)) return -1;
    const { response } = this.#receiver.own;
    if (response !== TMF_COMPLETE) return response;
    for (const task of this.#tasks) {
      const ends = meant === undefined ? endsTask(taskFunction, lun, task) : task === meant;
      if (ends && task.active && task.sent && !task.answered) task.lose("aborted");
    }
    return response;
  }

  /** Ends the session in good order. true: the target agreed. */
  logout(timeoutMs = LOGOUT_MS): boolean {
    const header = this.#own();
    if (header === null) return false;
    encodeLogout(header, 0, true, LOGOUT_SESSION, OWN_TAG, 0, 0, 0);
    const agreed = this.#awaitOwn(OP_LOGOUT_RESPONSE, timeoutMs);
    this.#end("logged out");
    return agreed;
  }

  /** Drops the connection without a word, as a host that lost its power does. */
  close(): void {
    this.#end("closed");
  }

  #begin(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    timeoutMs: number,
    reply: CommandReply | null,
  ): InitiatorTask {
    const place = this.#free[--this.#freeCount] ?? 0;
    const task = this.#tasks[place];
    if (task === undefined) throw new InitiatorError("no place");
    task.begin(lun, cdb, direction, dataAddress, dataBytes, timeoutMs, reply ?? task.ownReply);
    task.waited = reply !== null;
    if (!this.alive) task.lose(this.#ended);
    else if (this.#receiver.ending !== "") task.lose(this.#receiver.ending);
    else {
      this.#sender.addCommand(task);
      this.#push();
    }
    return task;
  }

  #push(): void {
    const result = this.#sender.push();
    if (result < 0) this.#receiver.fail(errorText(result));
    if (this.#receiver.failed) this.#end(this.#receiver.cause);
  }

  /** One round: send, wait for the socket, receive. */
  #turn(deadlineMs: number): void {
    if (!this.alive) return;
    this.#push();
    if (!this.alive) return;
    const now = performance.now();
    let nearestMs = deadlineMs;
    for (let place = 0; place < this.#tasks.length; place++) {
      const task = this.#tasks[place];
      if (!task?.active || isOver(task)) continue;
      if (task.deadlineMs <= now) {
        this.#end(`no answer within ${task.timeoutMs} ms`);
        return;
      }
      nearestMs = Math.min(nearestMs, task.deadlineMs);
    }
    const ready = this.#wire.wait(this.#sender.waiting ? POLLIN | POLLOUT : POLLIN, nearestMs);
    if ((ready & ~POLLOUT) !== 0) this.#reader.read(this.#wire, this.#receiver);
    if (this.#receiver.failed) this.#end(this.#receiver.cause);
    else this.#push();
  }

  /** Moves what has ended from the tasks to the list of the done. */
  #collect(): void {
    for (let place = 0; place < this.#tasks.length; place++) {
      const task = this.#tasks[place];
      if (!task?.active || task.waited || !isOver(task)) continue;
      task.active = false;
      this.#done[(this.#firstDone + this.#doneCount++) % this.#done.length] = place;
    }
  }

  /** A place for a request of our own; null: the session is over. */
  #own(): DataView | null {
    if (!this.alive) return null;
    this.#receiver.own.opcode = -1;
    return this.#sender.control.add();
  }

  #awaitOwn(opcode: number, timeoutMs: number): boolean {
    const deadlineMs = performance.now() + timeoutMs;
    while (this.alive && this.#receiver.own.opcode !== opcode) {
      this.#turn(deadlineMs);
      if (performance.now() >= deadlineMs && this.#receiver.own.opcode !== opcode) {
        this.#end(`no answer to a request of the session within ${timeoutMs} ms`);
      }
    }
    return this.#receiver.own.opcode === opcode;
  }

  #end(cause: string): void {
    if (!this.alive) return;
    this.#ended = cause;
    this.#wire.close();
    for (const task of this.#tasks) {
      if (!task.active) continue;
      task.outputs = 0;
      if (!task.answered) task.lose(cause);
    }
  }
}

/** The status is known and nothing of the task's memory is to be sent any more. */
function isOver(task: InitiatorTask): boolean {
  return task.answered && task.outputs === 0;
}

/** Does this function, once carried out, end the task of ours? */
function endsTask(taskFunction: number, lun: number, task: InitiatorTask): boolean {
  if (taskFunction === TMF_TARGET_WARM_RESET || taskFunction === TMF_TARGET_COLD_RESET) return true;
  const ofUnit =
    taskFunction === TMF_ABORT_TASK_SET ||
    taskFunction === TMF_CLEAR_TASK_SET ||
    taskFunction === TMF_LOGICAL_UNIT_RESET;
  return ofUnit && task.lun === lun;
}
