/** @module The iSCSI target: all connections of one thread in one poll().
 *
 *  The thread calls `pollOnce` for ever. Everything happens within that call, in this order:
 *      wake-ups (another thread finished something) ─▶ new connections ─▶ what came in ─▶ places and completions
 *      ─▶ what goes out ─▶ connections that ended
 *
 *  (1) Nothing blocks but poll() itself: sockets are non-blocking, units answer later through their tasks.
 *  (2) Units are called from here and from `onWake` callbacks only, on this thread.
 *  (3) A closed connection's tasks: `unit.abort(task)` for each open one, then `unit.nexusLost(nexus)` for every unit. No byte
 *      arrives at an aborted task's place after `abort` was called; the task object itself stays the port's until
 *      the port has completed it, which it must. */
import { libc } from "../base/ffi.ts";
import { createSharedMemory, type SharedMemory } from "../base/memory.ts";
import { POLLERR, POLLFD_BYTES, POLLHUP, POLLIN, POLLOUT } from "../base/socket.ts";
import { type ChapAccess, chapTargetFor } from "../iscsi/chap.ts";
import { TERMS, type Terms } from "../iscsi/negotiate.ts";
import { ASYNC_LOGOUT_REQUEST, OP_LOGIN, opcodeOf } from "../iscsi/pdu.ts";
import { encodeAsyncMessage } from "../iscsi/responses.ts";
import { NoUnit } from "../scsi/unit/no-unit.ts";
import type { LogicalUnit } from "../scsi/unit/ports.ts";
import { type Disposition, takePlace } from "./commands.ts";
import { Connection } from "./connection.ts";
import type { Authenticator } from "./login.ts";
import { type DeskOptions, LoginDesk } from "./login-desk.ts";
import { PollSet } from "./poll-set.ts";
import {
  acceptConnection,
  addressText,
  localAddress,
  openPortal,
  PEER_ADDRESS_BYTES,
  type Portal,
} from "./portal.ts";
import type { ReceiverHost } from "./receiver.ts";
import { REGION_BYTES } from "./region.ts";
import { handleRequest } from "./requests.ts";
import type { Session, SessionHost } from "./session.ts";
import { TargetStats } from "./stats.ts";
import { type IscsiTask, SPILL_BYTES, TaskPool } from "./tasks.ts";

export interface TargetOptions {
  readonly iqn: string;
  readonly alias?: string;
  readonly address: string;
  /** 0: any free port (`target.port` says which). */
  readonly port: number;
  /** A portal that was opened before (by `openPortal`), instead of address and port. */
  readonly portal?: Portal;
  /** LUN -> unit. May change while running, between two calls of pollOnce. */
  readonly units: ReadonlyMap<number, LogicalUnit>;
  readonly portalGroupTag?: number;
  /** "host:port" for discovery, where initiators reach the portal by another address (NAT). */
  readonly announcedAddress?: string;
  readonly connectionsMax?: number;
  readonly loginTimeoutMs?: number;
  readonly terms?: Terms;
  readonly authenticator?: (method: string, initiatorName: string) => Authenticator | null;
  /** Who may log in, by CHAP and by nothing else; null: whoever comes. */
  readonly chap?: ChapAccess | null;
}

/** The portal cannot be opened; the message is for people. */
export class PortalError extends Error {}

export interface SessionInfo {
  readonly initiatorName: string;
  readonly initiatorAddress: string;
  readonly nexusId: number;
  readonly tsih: number;
  readonly discovery: boolean;
  readonly openTasks: number;
}

interface Wake {
  readonly fd: number;
  readonly callback: () => void;
}

const CONNECTIONS_MAX = 64;
const WAKES_MAX = 32;
const LOGIN_TIMEOUT_MS = 15_000;
/** For the answer to a logout or a refused login to be taken by the initiator. */
const ENDING_TIMEOUT_MS = 5_000;
const DISCARD_BYTES = 262144;
/** How long poll() sleeps at most while something has a deadline. */
const TIMED_POLL_MS = 100;
const PLACED_MAX = 65536;

export class Target implements SessionHost, ReceiverHost {
  readonly iqn: string;
  readonly address: string;
  readonly port: number;
  readonly units: ReadonlyMap<number, LogicalUnit>;
  readonly stats = new TargetStats();
  readonly memory: SharedMemory;
  readonly discardAddress: number;
  readonly discardBytes = DISCARD_BYTES;
  readonly #options: TargetOptions;
  readonly #portal: Portal;
  readonly #absent: NoUnit;
  readonly #desk: LoginDesk;
  readonly #connections: Connection[] = [];
  readonly #regions: number[] = [];
  readonly #wakes: Wake[] = [];
  readonly #polls: PollSet;
  readonly #wakeWord: number;
  readonly #peer = new Uint8Array(PEER_ADDRESS_BYTES);
  readonly #pools: TaskPool[] = [];
  /** Sessions whose connection is gone while tasks are still open. */
  readonly #leaving = new Set<Session>();
  readonly #placed: IscsiTask[] = [];
  #placedCount = 0;
  #draining = false;
  /** Within `pollOnce`: connections keep their order. */
  #inRound = false;
  #listening = true;
  #stopBeforeMs = -1;

  /** Listens at once; throws PortalError where it cannot. */
  constructor(options: TargetOptions) {
    if ((options.terms ?? TERMS).firstBurstBytes > SPILL_BYTES)
      throw new RangeError("first burst exceeds the spill");
    this.#options = options;
    this.iqn = options.iqn;
    this.units = options.units;
    this.#portal = options.portal ?? open(options.address, options.port);
    this.address = this.#portal.address;
    this.port = this.#portal.port;
    const connections = options.connectionsMax ?? CONNECTIONS_MAX;
    this.#wakeWord = DISCARD_BYTES + (1 + WAKES_MAX + connections) * POLLFD_BYTES;
    const regions = Math.ceil((this.#wakeWord + 8) / 4096) * 4096;
    this.memory = createSharedMemory(regions + connections * REGION_BYTES);
    this.#polls = new PollSet(this.memory, DISCARD_BYTES);
    this.discardAddress = this.memory.base;
    for (let index = connections - 1; index >= 0; index--) this.#regions.push(regions + index * REGION_BYTES);
    this.#absent = new NoUnit(() => [...this.units.keys()].sort((left, right) => left - right));
    this.#desk = new LoginDesk({
      host: this,
      targetName: options.iqn,
      targetAlias: options.alias ?? "",
      portalGroupTag: options.portalGroupTag ?? 1,
      ...doorOf(options),
      sessions: () => this.#sessions(),
      accepting: () => this.#listening,
      takePool: () => this.#pools.pop() ?? new TaskPool(),
      replace: (session) => {
        session.connection.fail("replaced by a new login");
        this.#leave(session);
      },
    });
  }

  /** File descriptors in use: portal, wake-ups, connections. */
  get fdCount(): number {
    return (this.#listening ? 1 : 0) + this.#wakes.length + this.#connections.length;
  }

  /** Nothing is listened to and no session's task is open any more. */
  get stopped(): boolean {
    return !this.#listening && this.#connections.length === 0 && this.#leaving.size === 0;
  }

  /** Calls back, on this thread and within `pollOnce`, when this (non-blocking) eventfd was written to. */
  onWake(fd: number, callback: () => void): void {
    if (this.#wakes.length >= WAKES_MAX) throw new RangeError("too many wake-up descriptors");
    this.#wakes.push({ fd, callback });
  }

  sessions(): SessionInfo[] {
    return [...this.#sessions()].map((session) => ({
      initiatorName: session.nexus.initiatorName,
      initiatorAddress: session.connection.from,
      nexusId: session.nexus.id,
      tsih: session.tsih,
      discovery: session.discovery,
      openTasks: session.openTasks,
    }));
  }

  *#sessions(): Generator<Session> {
    for (const connection of this.#connections) {
      if (connection.session !== null && !connection.closed) yield connection.session;
    }
  }

  /** No new connections; asks every initiator to log out within `graceMs` and then ends what is left, within
   *  `pollOnce`; 0: at once. */
  stop(graceMs = 0): void {
    if (this.#listening) libc.close(this.#portal.fd);
    this.#listening = false;
    this.#stopBeforeMs = performance.now() + graceMs;
    for (const connection of this.#connections) {
      if (graceMs === 0 || connection.session === null) connection.fail("the target stops");
      else {
        const seconds = Math.ceil(graceMs / 1000);
        const view = this.memory.view;
        connection.sendHeader(
          (to) => encodeAsyncMessage(view, to, ASYNC_LOGOUT_REQUEST, 0, 0, seconds),
          true,
        );
        if (!this.#inRound) connection.flush();
      }
    }
    if (!this.#inRound) this.#reap();
  }

  /** Waits up to `timeoutMs` (-1: for ever) for something to do and does all of it. */
  pollOnce(timeoutMs: number): void {
    // Notes that were taken since the last call, before going to sleep.
    this.drainPlaced();
    const count = this.#poll(timeoutMs);
    const nowMs = performance.now();
    // What poll() was told of, whatever the callbacks add.
    const first = 1 + this.#wakes.length;
    const connections = this.#connections.length;
    this.#inRound = true;
    if (count > 0) this.#wake();
    this.drainPlaced();
    if (count > 0 && this.#listening && this.#polls.revents(0) !== 0) this.#accept(nowMs);
    for (let index = 0; index < connections; index++) {
      const connection = this.#connections[index];
      if (connection === undefined) continue;
      const revents = count > 0 ? this.#polls.revents(first + index) : 0;
      if ((revents & POLLOUT) !== 0) connection.blocked = false;
      if (connection.ready || (revents & POLLIN) !== 0) connection.receiver.pump();
      else if ((revents & (POLLERR | POLLHUP)) !== 0) connection.fail("connection lost");
    }
    this.drainPlaced();
    for (const connection of this.#connections) {
      const { output } = connection;
      if (
        !connection.closed &&
        !connection.blocked &&
        (connection.dirty || connection.ending || !output.idle)
      ) {
        connection.flush();
      }
    }
    this.#expire(nowMs);
    this.#inRound = false;
    this.#reap();
  }

  #poll(timeoutMs: number): number {
    const polls = this.#polls;
    let wait = timeoutMs;
    polls.clear();
    polls.add(this.#listening ? this.#portal.fd : -1, POLLIN);
    for (const wake of this.#wakes) polls.add(wake.fd, POLLIN);
    for (const connection of this.#connections) {
      polls.add(connection.fd, (connection.reading ? POLLIN : 0) | (connection.blocked ? POLLOUT : 0));
      const timed = connection.session === null || connection.ending || this.#stopBeforeMs >= 0;
      if (connection.ready || (connection.dirty && !connection.blocked)) wait = 0;
      else if (timed && (wait < 0 || wait > TIMED_POLL_MS)) wait = TIMED_POLL_MS;
    }
    return polls.wait(wait);
  }

  #wake(): void {
    for (let index = this.#wakes.length - 1; index >= 0; index--) {
      const wake = this.#wakes[index];
      if (wake === undefined || this.#polls.revents(1 + index) === 0) continue;
      libc.read(wake.fd, this.memory.base + this.#wakeWord, 8);
      wake.callback();
    }
  }

  #accept(nowMs: number): void {
    for (;;) {
      const fd = acceptConnection(this.#portal, this.#peer);
      if (fd < 0) return;
      const region = this.#regions.pop();
      if (region === undefined) {
        libc.close(fd);
        continue;
      }
      const { host, port } = addressText(this.#peer);
      this.#connections.push(new Connection(this, fd, `${host}:${port}`, region, nowMs));
    }
  }

  #expire(nowMs: number): void {
    const loginMs = this.#options.loginTimeoutMs ?? LOGIN_TIMEOUT_MS;
    const stopping = this.#stopBeforeMs >= 0 && nowMs >= this.#stopBeforeMs;
    for (const connection of this.#connections) {
      if (connection.session === null && nowMs - connection.openedMs > loginMs)
        connection.fail("login took too long");
      if (stopping) connection.fail("the target stops");
      if (!connection.ending) continue;
      if (connection.endingSinceMs === 0) connection.endingSinceMs = nowMs;
      if (nowMs - connection.endingSinceMs > ENDING_TIMEOUT_MS)
        connection.fail("the last answer was not taken");
    }
  }

  #reap(): void {
    for (let index = this.#connections.length - 1; index >= 0; index--) {
      const connection = this.#connections[index];
      if (connection?.closed) this.#end(connection, connection.cause);
    }
    this.drainPlaced();
  }

  #end(connection: Connection, cause: string): void {
    const index = this.#connections.indexOf(connection);
    if (index < 0) return;
    connection.fail(cause);
    this.#connections.splice(index, 1);
    libc.close(connection.fd);
    this.#regions.push(connection.at);
    if (connection.session !== null) this.#leave(connection.session);
  }

  #leave(session: Session): void {
    if (session.closed) return;
    this.#leaving.add(session);
    session.close();
  }

  control(
    connection: Connection,
    at: number,
    _ahsBytes: number,
    dataBytes: number,
    keptBytes: number,
  ): Disposition {
    const { session } = connection;
    if (session === null) {
      return opcodeOf(this.memory.view, at) === OP_LOGIN
        ? this.#desk.handle(connection, at, dataBytes)
        : "drop";
    }
    const target = {
      targetName: this.iqn,
      address: this.#options.announcedAddress ?? "",
      portalGroupTag: this.#options.portalGroupTag ?? 1,
      discovery: session.discovery,
    };
    if (target.address === "") {
      const { host, port } = localAddress(connection.fd);
      target.address = `${host}:${port}`;
    }
    return handleRequest(session, target, at, dataBytes, keptBytes);
  }

  unitOf(lun: number): LogicalUnit {
    return this.units.get(lun) ?? this.#absent;
  }

  placed(task: IscsiTask): void {
    if (this.#placedCount >= PLACED_MAX) throw new RangeError("a unit places without end");
    this.#placed[this.#placedCount++] = task;
  }

  drainPlaced(): void {
    // A unit called from here may place the next task: it is dealt with in this same loop.
    if (this.#draining) return;
    this.#draining = true;
    for (let index = 0; index < this.#placedCount; index++) {
      const task = this.#placed[index];
      if (task !== undefined) takePlace(task);
    }
    this.#placedCount = 0;
    this.#draining = false;
  }

  abortAll(lun: number): void {
    for (const session of this.#sessions()) session.abortTasks(lun);
  }

  /** PREEMPT AND ABORT: what this initiator port has open on a LUN ends without an answer. The one way by which a unit has other
   *  tasks of its own aborted from within a call; it must be done with its own state. */
  abortTasksOf(initiatorPort: string, lun: number): void {
    for (const session of this.#sessions()) {
      if (session.nexus.initiatorPort === initiatorPort) session.abortTasks(lun);
    }
  }

  endAllSessions(): void {
    for (const connection of this.#connections) connection.ending = true;
  }

  sessionGone(session: Session): void {
    this.#leaving.delete(session);
    if (session.pool !== null) this.#pools.push(session.pool);
  }
}

/** CHAP configured: None is no method any more (RFC 7143 §9.2, status 0201). */
function doorOf(options: TargetOptions): Pick<DeskOptions, "terms" | "authenticator"> {
  const terms = options.terms ?? TERMS;
  const { chap, authenticator } = options;
  if (chap == null) return { terms, authenticator: authenticator ?? null };
  return {
    terms: { ...terms, authMethods: ["CHAP"] },
    authenticator: (method, initiatorName) => chapTargetFor(chap, method, initiatorName),
  };
}

function open(address: string, port: number): Portal {
  const outcome = openPortal(address, port);
  if (outcome.kind === "failed") throw new PortalError(outcome.cause);
  return outcome.portal;
}
