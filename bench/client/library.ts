/** @module libiscsi 1.18-1.20 through bun:ffi: the bindings and the layout of its `struct scsi_task`.
 *
 *  An initiator that shares no code with ours, so that what a bench or test says about the target is not said by
 *  the same hands that wrote it. Newer versions of the library shift everything behind the sense by 8 bytes: the
 *  layout is found out at start-up, never assumed. */
import { dlopen, FFIType, type Pointer, ptr, read, toArrayBuffer } from "bun:ffi";
import type { CommandReply } from "../../src/base/command-reply.ts";

const { i32, u32, cstring, u64_fast, void: nothing } = FFIType;
const pointer = FFIType.ptr;

/** The file to open: Debian's name first. */
const LIBRARY_NAMES = ["libiscsi.so.7", "libiscsi.so.8", "libiscsi.so.9", "libiscsi.so.10", "libiscsi.so"];

const SYMBOLS = {
  iscsi_create_context: { args: [pointer], returns: pointer },
  iscsi_destroy_context: { args: [pointer], returns: i32 },
  iscsi_set_targetname: { args: [pointer, pointer], returns: i32 },
  iscsi_set_session_type: { args: [pointer, i32], returns: i32 },
  iscsi_set_header_digest: { args: [pointer, i32], returns: i32 },
  iscsi_set_noautoreconnect: { args: [pointer, i32], returns: nothing },
  iscsi_set_timeout: { args: [pointer, i32], returns: i32 },
  iscsi_full_connect_sync: { args: [pointer, pointer, i32], returns: i32 },
  iscsi_connect_sync: { args: [pointer, pointer], returns: i32 },
  iscsi_login_sync: { args: [pointer], returns: i32 },
  iscsi_discovery_sync: { args: [pointer], returns: pointer },
  iscsi_free_discovery_data: { args: [pointer, pointer], returns: nothing },
  iscsi_logout_sync: { args: [pointer], returns: i32 },
  iscsi_disconnect: { args: [pointer], returns: i32 },
  iscsi_get_error: { args: [pointer], returns: cstring },
  iscsi_get_fd: { args: [pointer], returns: i32 },
  iscsi_which_events: { args: [pointer], returns: i32 },
  iscsi_service: { args: [pointer, i32], returns: i32 },
  iscsi_scsi_command_sync: { args: [pointer, i32, pointer, pointer], returns: pointer },
  iscsi_scsi_command_async: { args: [pointer, i32, pointer, pointer, pointer, u64_fast], returns: i32 },
  scsi_create_task: { args: [i32, pointer, i32, i32], returns: pointer },
  scsi_free_scsi_task: { args: [pointer], returns: nothing },
  scsi_set_task_private_ptr: { args: [pointer, u64_fast], returns: nothing },
  scsi_task_add_data_in_buffer: { args: [pointer, u32, u64_fast], returns: i32 },
} as const;

type Library = ReturnType<typeof dlopen<typeof SYMBOLS>>["symbols"];

/** Offsets in `struct scsi_task` (bytes). */
export interface TaskLayout {
  readonly status: number;
  readonly residualStatus: number;
  readonly residual: number;
  readonly dataInBytes: number;
  readonly dataIn: number;
}

const TASK_STATUS = 0;
const TASK_RESIDUAL_STATUS = 32;
const TASK_RESIDUAL = 40;
const TASK_DATA_IN_BYTES = 64;
const TASK_DATA_IN = 72;
const TASK_PRIVATE = 88;
/** What newer versions add in front of `datain`. */
const TASK_SHIFTS = [0, 8, 16];
const MAGIC = 0x5ca1ab1e;

export const SESSION_DISCOVERY = 1;
export const SESSION_NORMAL = 2;
export const DIGEST_NONE = 0;
export const TRANSFER_NONE = 0;
export const TRANSFER_IN = 1;
export const TRANSFER_OUT = 2;
export const RESIDUAL_UNDERFLOW = 1;
/** Statuses from here on are libiscsi's own: cancelled, error, timeout. */
export const STATUS_OWN = 0x0f000000;
export const STATUS_TIMEOUT = 0x0f000002;
/** `struct iscsi_data`: bytes (u64), address. */
export const ISCSI_DATA_BYTES = 16;

export interface Libiscsi {
  readonly c: Library;
  readonly layout: TaskLayout;
}

let loaded: Libiscsi | undefined;

/** Opens the library; throws with the package's name where it is missing. */
export function loadLibiscsi(): Libiscsi {
  if (loaded !== undefined) return loaded;
  const c = openFirst();
  loaded = { c, layout: findLayout(c) };
  return loaded;
}

/** Why the library cannot be used here, for a test's skip condition; undefined when it can. */
export function libiscsiObstacle(): string | undefined {
  try {
    loadLibiscsi();
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function openFirst(): Library {
  for (const name of LIBRARY_NAMES) {
    try {
      return dlopen(name, SYMBOLS).symbols;
    } catch {
      // The next name, then the message below.
    }
  }
  throw new Error("libiscsi not found (Debian package libiscsi7)");
}

/** bun-types gives pointers back as Pointer | bigint | null; they are numbers on every machine that Bun runs on. */
export function nonNull(value: Pointer | bigint | null, what: string): Pointer {
  if (value === null || typeof value === "bigint") throw new Error(`libiscsi: ${what}`);
  return value;
}

/** Puts a magic number into the task's private pointer and looks where it lies. */
function findLayout(c: Library): TaskLayout {
  const cdb = new Uint8Array(16);
  const task = nonNull(c.scsi_create_task(6, ptr(cdb), TRANSFER_NONE, 0), "no memory for a task");
  c.scsi_set_task_private_ptr(task, MAGIC);
  const shift = TASK_SHIFTS.find(
    (bytes) =>
      read.u32(task, TASK_PRIVATE + bytes) === MAGIC && read.u32(task, TASK_PRIVATE + bytes + 4) === 0,
  );
  c.scsi_set_task_private_ptr(task, 0);
  c.scsi_free_scsi_task(task);
  if (shift === undefined)
    throw new Error("libiscsi: unknown layout of struct scsi_task (1.18 to 1.20 known)");
  return {
    status: TASK_STATUS,
    residualStatus: TASK_RESIDUAL_STATUS,
    residual: TASK_RESIDUAL,
    dataInBytes: TASK_DATA_IN_BYTES + shift,
    dataIn: TASK_DATA_IN + shift,
  };
}

/** Takes status, residual and sense out of a task that has ended. Not reached: libiscsi lost the session or gave up
 *  waiting; carried out or not, nobody knows. */
export function readReply(
  layout: TaskLayout,
  task: Pointer,
  status: number,
  expectedBytes: number,
  reply: CommandReply,
): void {
  reply.clear();
  if (status >= STATUS_OWN) {
    reply.lose(status === STATUS_TIMEOUT ? "no answer in time" : "session lost");
    return;
  }
  reply.status = status;
  const underflow = read.i32(task, layout.residualStatus) === RESIDUAL_UNDERFLOW;
  const residualBytes = underflow ? Math.min(read.u32(task, layout.residual), expectedBytes) : 0;
  reply.transferredBytes = expectedBytes - residualBytes;
  if (status === 0) return;
  // The data segment of a CHECK CONDITION: a 2-byte length, then sense as the target sent it.
  const bytes = read.i32(task, layout.dataInBytes);
  const address = read.ptr(task, layout.dataIn);
  if (address === 0 || bytes < 2) return;
  const segment = new Uint8Array(toArrayBuffer(address as Pointer, 0, bytes));
  const stated = ((segment[0] ?? 0) << 8) | (segment[1] ?? 0);
  reply.senseBytes = Math.min(stated, bytes - 2, reply.sense.length);
  reply.sense.set(segment.subarray(2, 2 + reply.senseBytes));
}
