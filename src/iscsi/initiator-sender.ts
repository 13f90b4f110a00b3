/** @module What the initiator sends and in which order.
 *
 *      control PDUs (pings answered, ...) ─┐  between any two PDUs
 *      Data-Out sequence under way ────────┤  to its end
 *      Data-Out sequences asked for (R2T) ─┤  first come, first served
 *      commands ───────────────────────────┘  in order; each waits until the window (MaxCmdSN) lets it go
 *
 *  (1) CmdSN is given when the command's PDU begins to go out, so the order on the wire is the order submitted.
 *  (2) A command's unsolicited data follows it directly.
 *  (3) Nothing is ever sent twice. */
import { EAGAIN } from "../base/ffi.ts";
import { ControlQueue, type InitiatorTask } from "./initiator-task.ts";
import type { Wire } from "./initiator-wire.ts";
import type { SessionParameters } from "./keys.ts";
import {
  AT_CMD_SN,
  AT_EXP_STAT_SN,
  FLAG_FINAL,
  FLAG_READ,
  FLAG_WRITE,
  nextSerial,
  serialDifference,
  TAG_NONE,
} from "./pdu.ts";
import { ATTRIBUTE_SIMPLE, encodeDataOut, encodeScsiCommand } from "./requests.ts";

const CONTROL_DEPTH = 32;

/** Sequence numbers of the session (RFC 7143 §4.2.2). */
export interface SessionNumbers {
  cmdSN: number;
  expCmdSN: number;
  maxCmdSN: number;
  expStatSN: number;
}

/** A Data-Out sequence: [offset, end) of the task's data. */
class DataJob {
  task: InitiatorTask | null = null;
  ttt = TAG_NONE;
  offset = 0;
  end = 0;
  dataSN = 0;
}

export class Sender {
  readonly control = new ControlQueue(CONTROL_DEPTH);
  readonly #wire: Wire;
  readonly #parameters: SessionParameters;
  readonly #numbers: SessionNumbers;
  readonly #commands: (InitiatorTask | null)[];
  readonly #jobs: DataJob[];
  readonly #current = new DataJob();
  #firstCommand = 0;
  #commandCount = 0;
  #firstJob = 0;
  #jobCount = 0;
  /** The task whose PDU is going out right now. */
  #going: InitiatorTask | null = null;
  /** ... and is that PDU the last of its sequence? */
  #goingEnds = false;

  constructor(wire: Wire, parameters: SessionParameters, numbers: SessionNumbers, depth: number) {
    this.#wire = wire;
    this.#parameters = parameters;
    this.#numbers = numbers;
    this.#commands = new Array(depth).fill(null);
    this.#jobs = Array.from({ length: depth * parameters.maxOutstandingR2T }, () => new DataJob());
  }

  addCommand(task: InitiatorTask): void {
    task.outputs++;
    this.#commands[(this.#firstCommand + this.#commandCount++) % this.#commands.length] = task;
  }

  /** false: more data is asked for at once than was agreed. */
  addData(task: InitiatorTask, ttt: number, offset: number, bytes: number): boolean {
    if (task.r2ts >= this.#parameters.maxOutstandingR2T || this.#jobCount === this.#jobs.length) return false;
    const job = this.#jobs[(this.#firstJob + this.#jobCount) % this.#jobs.length];
    if (job === undefined) return false;
    this.#jobCount++;
    task.outputs++;
    task.r2ts++;
    setJob(job, task, ttt, offset, offset + bytes);
    return true;
  }

  /** Something could be sent if only the kernel took it. */
  get waiting(): boolean {
    return (
      this.#wire.sending ||
      this.control.count > 0 ||
      this.#current.task !== null ||
      this.#jobCount > 0 ||
      this.#commandReady()
    );
  }

  /** Sends until nothing is left or the kernel takes no more: 0; an error: -errno. */
  push(): number {
    for (;;) {
      while (this.#wire.sending) {
        const sent = this.#wire.push();
        if (sent === -EAGAIN) return 0;
        if (sent < 0) return sent;
      }
      this.#finishPdu();
      if (!this.#beginPdu()) return 0;
    }
  }

  #finishPdu(): void {
    const task = this.#going;
    if (task === null) return;
    this.#going = null;
    if (this.#goingEnds) task.outputs--;
  }

  #beginPdu(): boolean {
    if (this.control.count > 0) {
      this.control.take(this.#wire.header);
      this.#wire.header.setUint32(AT_CMD_SN, this.#numbers.cmdSN);
      this.#wire.header.setUint32(AT_EXP_STAT_SN, this.#numbers.expStatSN);
      this.#wire.begin(0, 0);
      return true;
    }
    if (this.#current.task === null) this.#nextJob();
    if (this.#current.task !== null) {
      this.#beginData(this.#current.task);
      return true;
    }
    if (!this.#commandReady()) return false;
    const task = this.#commands[this.#firstCommand] ?? null;
    this.#firstCommand = (this.#firstCommand + 1) % this.#commands.length;
    this.#commandCount--;
    if (task !== null) this.#beginCommand(task);
    return true;
  }

  #commandReady(): boolean {
    return this.#commandCount > 0 && serialDifference(this.#numbers.cmdSN, this.#numbers.maxCmdSN) <= 0;
  }

  #nextJob(): void {
    if (this.#jobCount === 0) return;
    const job = this.#jobs[this.#firstJob];
    this.#firstJob = (this.#firstJob + 1) % this.#jobs.length;
    this.#jobCount--;
    if (job?.task) setJob(this.#current, job.task, job.ttt, job.offset, job.end);
  }

  #beginCommand(task: InitiatorTask): void {
    const { firstBurstBytes, immediateData, initialR2T, peerSegmentBytes } = this.#parameters;
    const numbers = this.#numbers;
    const outBytes = task.direction === "out" ? task.bytes : 0;
    const immediateBytes = immediateData ? Math.min(outBytes, firstBurstBytes, peerSegmentBytes) : 0;
    const unsolicitedBytes = initialR2T ? immediateBytes : Math.min(outBytes, firstBurstBytes);
    const more = unsolicitedBytes > immediateBytes;
    const flags =
      (more ? 0 : FLAG_FINAL) |
      (task.direction === "in" ? FLAG_READ : outBytes > 0 ? FLAG_WRITE : 0) |
      ATTRIBUTE_SIMPLE;
    const { header } = this.#wire;
    const { lun, itt, bytes, cdb } = task;
    encodeScsiCommand(
      header,
      0,
      flags,
      lun,
      itt,
      bytes,
      numbers.cmdSN,
      numbers.expStatSN,
      cdb,
      immediateBytes,
    );
    task.sent = true;
    task.cmdSN = numbers.cmdSN;
    task.solicitedBytes = unsolicitedBytes;
    numbers.cmdSN = nextSerial(numbers.cmdSN);
    if (more) setJob(this.#current, task, TAG_NONE, immediateBytes, unsolicitedBytes);
    this.#going = task;
    this.#goingEnds = !more;
    this.#wire.begin(task.address, immediateBytes);
  }

  #beginData(task: InitiatorTask): void {
    const job = this.#current;
    const bytes = Math.min(job.end - job.offset, this.#parameters.peerSegmentBytes);
    const last = job.offset + bytes === job.end;
    const { header } = this.#wire;
    const { expStatSN } = this.#numbers;
    encodeDataOut(header, 0, last, task.lun, task.itt, job.ttt, expStatSN, job.dataSN++, job.offset, bytes);
    this.#going = task;
    this.#goingEnds = last;
    this.#wire.begin(task.address + job.offset, bytes);
    job.offset += bytes;
    if (!last) return;
    job.task = null;
    if (job.ttt !== TAG_NONE) task.r2ts--;
  }
}

function setJob(job: DataJob, task: InitiatorTask, ttt: number, offset: number, end: number): void {
  job.task = task;
  job.ttt = ttt;
  job.offset = offset;
  job.end = end;
  job.dataSN = 0;
}
