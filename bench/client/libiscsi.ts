/** @module A session of libiscsi, the independent client of benches and tests.
 *
 *  (1) The library never reconnects by itself: its default silently sends writes again, which puts blocks on a
 *      tape twice. After a loss the session is dead; the caller asks READ POSITION in a new one.
 *  (2) Data lies at native addresses; nothing is copied.
 *  (3) One thread only. `execute` blocks it; `CommandQueue` (queue.ts) keeps several commands outstanding. */
import { type Pointer, ptr, read } from "bun:ffi";
import type { CommandReply, DataDirection } from "../../src/base/command-reply.ts";
import {
  DIGEST_NONE,
  ISCSI_DATA_BYTES,
  type Libiscsi,
  loadLibiscsi,
  nonNull,
  readReply,
  SESSION_DISCOVERY,
  SESSION_NORMAL,
  TRANSFER_IN,
  TRANSFER_NONE,
  TRANSFER_OUT,
} from "./library.ts";

export { libiscsiObstacle } from "./library.ts";

const INITIATOR_NAME = "iqn.2026-01.test:libiscsi";
/** As long as Linux's tape driver waits for an ordinary command. */
const DEFAULT_TIMEOUT_MS = 900_000;

export interface SessionOptions {
  /** HOST:PORT. */
  readonly portal: string;
  readonly target: string;
  readonly initiatorName?: string;
  /** After this long without an answer a command ends as not reached; rounded up to seconds. */
  readonly timeoutMs?: number;
}

export class LibiscsiSession {
  readonly #library: Libiscsi;
  readonly #cdb = new Uint8Array(new ArrayBuffer(16));
  readonly #cdbPointer = ptr(this.#cdb);
  readonly #data = new DataView(new ArrayBuffer(ISCSI_DATA_BYTES));
  readonly #dataPointer = ptr(new Uint8Array(this.#data.buffer));
  #context: Pointer | null;

  private constructor(library: Libiscsi, context: Pointer) {
    this.#library = library;
    this.#context = context;
  }

  /** Logs in to a normal session; throws where that fails. */
  static connect(options: SessionOptions): LibiscsiSession {
    const library = loadLibiscsi();
    const context = createContext(library, options, SESSION_NORMAL);
    const portal = cString(options.portal);
    if (library.c.iscsi_full_connect_sync(context, ptr(portal), -1) !== 0) {
      throw destroyed(library, context, `${options.portal} ${options.target}`);
    }
    return new LibiscsiSession(library, context);
  }

  get alive(): boolean {
    return this.#context !== null;
  }

  /** Carries out one CDB and blocks until its outcome is known. `_timeoutMs`: the session's counts. */
  execute(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
    _timeoutMs: number,
    reply: CommandReply,
  ): void {
    const { c, layout } = this.#library;
    const context = this.#open();
    const task = this.createTask(cdb, direction, dataAddress, dataBytes);
    const data = this.describeData(direction, dataAddress, dataBytes);
    const result = c.iscsi_scsi_command_sync(context, lun, task, data);
    if (result === null) {
      reply.lose(`libiscsi: ${lastError(this.#library, context)}`);
      // The task is freed by the library here; the session is not to be used again.
      return;
    }
    const answered = nonNull(result, "a task");
    readReply(layout, answered, read.i32(answered, layout.status), dataBytes, reply);
    if (!reply.reached) reply.cause += ` (${lastError(this.#library, context)})`;
    c.scsi_free_scsi_task(answered);
  }

  /** A task of the library for this CDB, its data-in already placed. */
  createTask(cdb: Uint8Array, direction: DataDirection, dataAddress: number, dataBytes: number): Pointer {
    const { c } = this.#library;
    this.#cdb.set(cdb);
    const transfer = dataBytes === 0 || direction === "none" ? TRANSFER_NONE : transferCode(direction);
    const created = c.scsi_create_task(cdb.length, this.#cdbPointer, transfer, dataBytes);
    const task = nonNull(created, "no memory for a task");
    if (transfer === TRANSFER_IN) c.scsi_task_add_data_in_buffer(task, dataBytes, dataAddress);
    return task;
  }

  /** Data-out for a command; the library copies the description, never the data. */
  describeData(direction: DataDirection, dataAddress: number, dataBytes: number): Pointer | null {
    if (direction !== "out" || dataBytes === 0) return null;
    this.#data.setUint32(0, dataBytes, true);
    this.#data.setUint32(4, 0, true);
    this.#data.setUint32(8, dataAddress >>> 0, true);
    this.#data.setUint32(12, Math.floor(dataAddress / 2 ** 32), true);
    return this.#dataPointer;
  }

  /** For the queue beside this class. */
  get native(): { library: Libiscsi; context: Pointer } {
    return { library: this.#library, context: this.#open() };
  }

  close(): void {
    if (this.#context === null) return;
    this.#library.c.iscsi_logout_sync(this.#context);
    this.abandon();
  }

  /** Drops the connection without a word, as a host that lost its power does. */
  abandon(): void {
    if (this.#context === null) return;
    this.#library.c.iscsi_destroy_context(this.#context);
    this.#context = null;
  }

  #open(): Pointer {
    if (this.#context === null) throw new Error("libiscsi: the session is closed");
    return this.#context;
  }
}

/** Names of the targets at a portal, by a discovery session. */
export function discoverTargets(portal: string): string[] {
  const library = loadLibiscsi();
  const { c } = library;
  const context = createContext(library, { portal, target: "" }, SESSION_DISCOVERY);
  const text = cString(portal);
  if (c.iscsi_connect_sync(context, ptr(text)) !== 0 || c.iscsi_login_sync(context) !== 0) {
    throw destroyed(library, context, portal);
  }
  const first = c.iscsi_discovery_sync(context);
  const names: string[] = [];
  for (let entry = first as number | null; entry !== null && entry !== 0; ) {
    names.push(readText(read.ptr(entry as Pointer, 8)));
    entry = read.ptr(entry as Pointer, 0);
  }
  if (first !== null) c.iscsi_free_discovery_data(context, first);
  c.iscsi_logout_sync(context);
  c.iscsi_destroy_context(context);
  return names;
}

function createContext(library: Libiscsi, options: SessionOptions, type: number): Pointer {
  const { c } = library;
  const name = cString(options.initiatorName ?? INITIATOR_NAME);
  const context = nonNull(c.iscsi_create_context(ptr(name)), "no memory for a context");
  if (options.target !== "") c.iscsi_set_targetname(context, ptr(cString(options.target)));
  c.iscsi_set_session_type(context, type);
  c.iscsi_set_header_digest(context, DIGEST_NONE);
  c.iscsi_set_noautoreconnect(context, 1);
  c.iscsi_set_timeout(context, Math.ceil((options.timeoutMs ?? DEFAULT_TIMEOUT_MS) / 1000));
  return context;
}

function destroyed(library: Libiscsi, context: Pointer, what: string): Error {
  const cause = lastError(library, context);
  library.c.iscsi_destroy_context(context);
  return new Error(`libiscsi: no session with ${what}: ${cause}`);
}

/** The library's own words for what went wrong last. */
export function lastError({ c }: Libiscsi, context: Pointer): string {
  return c.iscsi_get_error(context)?.toString() ?? "";
}

function transferCode(direction: DataDirection): number {
  return direction === "in" ? TRANSFER_IN : TRANSFER_OUT;
}

function cString(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

function readText(address: number): string {
  const bytes: number[] = [];
  for (let offset = 0; ; offset++) {
    const byte = read.u8(address as Pointer, offset);
    if (byte === 0) return Buffer.from(bytes).toString("utf8");
    bytes.push(byte);
  }
}
