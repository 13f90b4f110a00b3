/** @module Several commands outstanding in one libiscsi session: submit, serve, reap.
 *
 *  `depth` places, each with its own reply; ONE native callback for all; nothing is allocated a command beyond
 *  the library's own task. Commands go out in the order submitted (CmdSN), answers come in any order. */
import { FFIType, JSCallback, type Pointer, ptr } from "bun:ffi";
import { CommandReply, type DataDirection } from "../../src/base/command-reply.ts";
import { checked, libc } from "../../src/base/ffi.ts";
import { POLLFD_BYTES } from "../../src/base/socket.ts";
import { type LibiscsiSession, lastError } from "./libiscsi.ts";
import { readReply } from "./library.ts";

export class CommandQueue {
  readonly depth: number;
  /** Reply to the command that was last at each place. */
  readonly replies: readonly CommandReply[];
  /** How long each place's last command waited for its answer. */
  readonly waitMs: Float64Array;
  #session: LibiscsiSession;
  readonly #callback: JSCallback;
  readonly #callbackPointer: Pointer;
  readonly #expectedBytes: Float64Array;
  readonly #submittedMs: Float64Array;
  readonly #free: number[] = [];
  readonly #done: number[] = [];
  readonly #pollfd = new DataView(new ArrayBuffer(POLLFD_BYTES));
  readonly #pollfdAddress = ptr(new Uint8Array(this.#pollfd.buffer));
  #broken = "";

  constructor(session: LibiscsiSession, depth: number) {
    this.#session = session;
    this.depth = depth;
    this.replies = Array.from({ length: depth }, () => new CommandReply());
    this.waitMs = new Float64Array(depth);
    this.#expectedBytes = new Float64Array(depth);
    this.#submittedMs = new Float64Array(depth);
    for (let place = depth - 1; place >= 0; place--) this.#free.push(place);
    this.#callback = new JSCallback(
      (_context: Pointer, status: number, _data: Pointer | null, place: number) =>
        this.#complete(status, place),
      { args: [FFIType.ptr, FFIType.i32, FFIType.ptr, FFIType.u64_fast], returns: FFIType.void },
    );
    if (this.#callback.ptr === null) throw new Error("no native callback");
    this.#callbackPointer = this.#callback.ptr;
    this.#tasks = new Array(depth).fill(null);
  }

  readonly #tasks: (Pointer | null)[];

  get outstanding(): number {
    return this.depth - this.#free.length - this.#done.length;
  }

  /** "" while the session lives, else what became of it: commands outstanding are lost, their fate unknown. */
  get broken(): string {
    return this.#broken;
  }

  /** Sends a command; returns its place, or -1 when all are taken (reap first). */
  submit(
    lun: number,
    cdb: Uint8Array,
    direction: DataDirection,
    dataAddress: number,
    dataBytes: number,
  ): number {
    const place = this.#free.pop();
    if (place === undefined) return -1;
    const { library, context } = this.#session.native;
    const task = this.#session.createTask(cdb, direction, dataAddress, dataBytes);
    this.#tasks[place] = task;
    this.#expectedBytes[place] = dataBytes;
    this.#submittedMs[place] = performance.now();
    const data = this.#session.describeData(direction, dataAddress, dataBytes);
    const sent = library.c.iscsi_scsi_command_async(context, lun, task, this.#callbackPointer, data, place);
    if (sent !== 0) this.#break(lastError(library, context));
    return place;
  }

  /** Lets the library send and receive; waits up to `timeoutMs` for something to happen. */
  serve(timeoutMs: number): void {
    if (this.#broken !== "") return;
    const { library, context } = this.#session.native;
    const { c } = library;
    this.#pollfd.setInt32(0, c.iscsi_get_fd(context), true);
    this.#pollfd.setInt16(4, c.iscsi_which_events(context), true);
    this.#pollfd.setInt16(6, 0, true);
    if (checked(libc.poll(this.#pollfdAddress, 1, timeoutMs)) < 0) return;
    // Without events too: the library looks after its own timeouts here.
    if (c.iscsi_service(context, this.#pollfd.getInt16(6, true)) !== 0) {
      this.#break(lastError(library, context));
    }
  }

  /** Takes back a place whose command has ended; -1: none has. Its reply holds until the place is used again. */
  reap(): number {
    const place = this.#done.shift();
    if (place === undefined) return -1;
    this.#free.push(place);
    return place;
  }

  close(): void {
    this.#callback.close();
  }

  #complete(status: number, place: number): void {
    const task = this.#tasks[place] ?? null;
    const reply = this.replies[place];
    if (task === null || reply === undefined) return;
    const { library } = this.#session.native;
    readReply(library.layout, task, status, this.#expectedBytes[place] ?? 0, reply);
    this.waitMs[place] = performance.now() - (this.#submittedMs[place] ?? 0);
    library.c.scsi_free_scsi_task(task);
    this.#tasks[place] = null;
    this.#done.push(place);
  }

  /** The session is gone: every outstanding command ends as not reached. */
  #break(cause: string): void {
    if (this.#broken !== "") return;
    this.#broken = cause === "" ? "session lost" : cause;
    for (let place = 0; place < this.depth; place++) {
      const reply = this.replies[place];
      if (this.#tasks[place] === null || reply === undefined) continue;
      this.#tasks[place] = null; // the library frees it with its context
      reply.lose(this.#broken);
      this.#done.push(place);
    }
  }
}
