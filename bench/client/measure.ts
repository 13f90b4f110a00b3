/** @module Writes a stream of blocks through a queue of libiscsi commands and measures it; reads it back and compares.
 *
 *  The clock runs from the first WRITE to GOOD of a synchronising WRITE FILEMARKS: what is measured lies on tape. */
import { ptr } from "bun:ffi";
import type { CommandReply } from "../../src/base/command-reply.ts";
import { describeOutcome, isBusy, outcomeOf } from "../../src/cli/host/host-port.ts";
import { type HostTape, mustBeGood } from "../../src/cli/host/host-tape.ts";
import { CdbBuffer, putWrite6, putWriteFilemarks } from "../../src/scsi/cdb.ts";
import type { LibiscsiSession } from "./libiscsi.ts";
import type { BlockPattern } from "./pattern.ts";
import { CommandQueue } from "./queue.ts";

const BUSY_WAIT_MS = 100;
const SERVE_MS = 1000;

export interface Stream {
  readonly lun: number;
  readonly blocks: number;
  readonly depth: number;
  /** A filemark (not synchronising) after every so many blocks; 0: only the last one. */
  readonly filemarkEvery: number;
}

export interface Written {
  bytes: number;
  blocks: number;
  /** Filemarks, the last one included. */
  filemarks: number;
  seconds: number;
  /** Without the wait for the last filemark. */
  writeSeconds: number;
  cpuSeconds: number;
  /** Commands that ended with anything but GOOD (or early warning), or with no answer. */
  hostErrors: number;
  busy: number;
  earlyWarning: boolean;
  longestStallMs: number;
  /** What the first error was. */
  error: string;
}

/** Stops at the first error. BUSY is answered by asking again only at depth 1: behind others it would change the
 *  order of the blocks on the tape. */
export function writeStream(session: LibiscsiSession, pattern: BlockPattern, stream: Stream): Written {
  return new StreamWriter(session, pattern, stream).run();
}

class StreamWriter {
  readonly #queue: CommandQueue;
  readonly #pattern: BlockPattern;
  readonly #stream: Stream;
  readonly #cdb = new CdbBuffer();
  readonly #result: Written = {
    bytes: 0,
    blocks: 0,
    filemarks: 0,
    seconds: 0,
    writeSeconds: 0,
    cpuSeconds: 0,
    hostErrors: 0,
    busy: 0,
    earlyWarning: false,
    longestStallMs: 0,
    error: "",
  };
  /** The last command was answered BUSY and is to be sent again. */
  #again = false;

  constructor(session: LibiscsiSession, pattern: BlockPattern, stream: Stream) {
    this.#queue = new CommandQueue(session, stream.depth);
    this.#pattern = pattern;
    this.#stream = stream;
  }

  run(): Written {
    const { blocks, depth, filemarkEvery } = this.#stream;
    const result = this.#result;
    const cpuStart = process.cpuUsage();
    const startMs = performance.now();
    while (result.blocks < blocks && result.error === "") {
      while (this.#queue.outstanding < depth && result.blocks < blocks && result.error === "") {
        this.#submitBlock(result.blocks++);
        const markDue = filemarkEvery > 0 && result.blocks % filemarkEvery === 0 && result.blocks < blocks;
        if (markDue) this.#filemark(true);
      }
      this.#serve();
    }
    this.#drain();
    result.writeSeconds = (performance.now() - startMs) / 1000;
    const longestMs = result.longestStallMs;
    if (result.error === "") this.#filemark(false);
    result.longestStallMs = longestMs; // the last filemark waits for the drive: that is its purpose
    result.seconds = (performance.now() - startMs) / 1000;
    const cpu = process.cpuUsage(cpuStart);
    result.cpuSeconds = (cpu.user + cpu.system) / 1e6;
    result.bytes = result.blocks * this.#pattern.blockBytes;
    this.#queue.close();
    return result;
  }

  #submitBlock(number: number): void {
    const { blockBytes } = this.#pattern;
    const cdb = this.#cdb.cut(putWrite6(this.#cdb.bytes, blockBytes));
    this.#queue.submit(this.#stream.lun, cdb, "out", this.#pattern.block(number), blockBytes);
  }

  /** Alone in the queue: a target may carry out a command without data before writes that still wait for theirs
   *  (tgtd does). */
  #filemark(immediate: boolean): void {
    this.#drain();
    while (this.#result.error === "") {
      const cdb = this.#cdb.cut(putWriteFilemarks(this.#cdb.bytes, 1, immediate));
      this.#queue.submit(this.#stream.lun, cdb, "none", 0, 0);
      while (this.#queue.outstanding > 0) this.#queue.serve(SERVE_MS);
      this.#reap();
      if (!this.#again) break;
      this.#pause();
    }
    if (this.#result.error === "") this.#result.filemarks++;
  }

  #drain(): void {
    while (this.#queue.outstanding > 0) this.#serve();
  }

  #serve(): void {
    this.#queue.serve(SERVE_MS);
    this.#reap();
    while (this.#again && this.#result.error === "") {
      this.#pause();
      this.#submitBlock(this.#result.blocks - 1);
      while (this.#queue.outstanding > 0) this.#queue.serve(SERVE_MS);
      this.#reap();
    }
  }

  #pause(): void {
    this.#again = false;
    Bun.sleepSync(BUSY_WAIT_MS);
  }

  #reap(): void {
    for (let place = this.#queue.reap(); place >= 0; place = this.#queue.reap()) {
      const reply = this.#queue.replies[place];
      this.#result.longestStallMs = Math.max(this.#result.longestStallMs, this.#queue.waitMs[place] ?? 0);
      if (reply !== undefined && (!reply.reached || reply.status !== 0)) this.#judge(reply);
    }
  }

  #judge(reply: CommandReply): void {
    const result = this.#result;
    if (isBusy(reply)) {
      result.busy++;
      this.#again = this.#stream.depth === 1;
      if (this.#again) return;
    }
    const said = outcomeOf(reply, reply.transferredBytes);
    if (said.kind === "checkCondition" && said.sense.key === 0 && said.sense.eom) {
      result.earlyWarning = true;
      return;
    }
    result.hostErrors++;
    if (result.error === "") result.error = describeOutcome(said);
  }
}

export interface ReadBack {
  seconds: number;
  blocks: number;
  filemarks: number;
  /** "" when every block and filemark is where it should be. */
  difference: string;
}

/** Rewinds and compares everything, filemarks and the end of data included. */
export function readBack(tape: HostTape, pattern: BlockPattern, stream: Stream): ReadBack {
  mustBeGood("REWIND", tape.rewind());
  const buffer = new Uint8Array(pattern.blockBytes);
  const address = ptr(buffer);
  const result: ReadBack = { seconds: 0, blocks: 0, filemarks: 0, difference: "" };
  const startMs = performance.now();
  const expectFilemark = () => {
    const outcome = tape.readBlock(address, pattern.blockBytes);
    if (outcome.kind === "checkCondition" && outcome.sense.filemark) {
      result.filemarks++;
      return;
    }
    result.difference = `filemark after block ${result.blocks - 1} expected: ${describeOutcome(outcome)}`;
  };
  for (let number = 0; number < stream.blocks && result.difference === ""; number++) {
    const outcome = tape.readBlock(address, pattern.blockBytes);
    if (outcome.kind !== "good") {
      result.difference = `block ${number}: ${describeOutcome(outcome)}`;
    } else if (!pattern.equals(number, address, tape.transferredBytes)) {
      result.difference = `block ${number} differs (${tape.transferredBytes} bytes)`;
    }
    result.blocks = number + 1;
    const last = result.blocks === stream.blocks;
    if (
      result.difference === "" &&
      !last &&
      stream.filemarkEvery > 0 &&
      result.blocks % stream.filemarkEvery === 0
    ) {
      expectFilemark();
    }
  }
  if (result.difference === "") expectFilemark();
  if (result.difference === "") {
    const end = tape.readBlock(address, pattern.blockBytes);
    const isEnd = end.kind === "checkCondition" && end.sense.key === 8;
    if (!isEnd) result.difference = `end of data expected: ${describeOutcome(end)}`;
  }
  result.seconds = (performance.now() - startMs) / 1000;
  return result;
}
