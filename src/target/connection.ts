/** @module One TCP connection of the target: what it is in (login, then a session), what it sends, how it ends.
 *  `fail` only marks it: the target closes it at the end of its round, when nobody works with it any more. */
import type { SharedMemory } from "../base/memory.ts";
import { BHS_BYTES, padBytes } from "../iscsi/pdu.ts";
import { encodeReject } from "../iscsi/responses.ts";
import { TextCollector } from "../iscsi/text.ts";
import type { Disposition } from "./commands.ts";
import type { LoginExchange } from "./login.ts";
import { Output, type OutputSource } from "./output.ts";
import { Receiver, type ReceiverHost } from "./receiver.ts";
import type { Session } from "./session.ts";
import type { IscsiTask } from "./tasks.ts";

export class Connection implements OutputSource {
  readonly fd: number;
  readonly from: string;
  readonly at: number;
  readonly output: Output;
  readonly receiver: Receiver;
  readonly openedMs: number;
  login: LoginExchange | null = null;
  session: Session | null = null;
  /** Connection id, as the initiator chose it. */
  cid = 0;
  /** Text request that goes on over several PDUs. */
  readonly text = new TextCollector();
  statSN = 0;
  /** During login; then the session's. */
  expCmdSN = 0;
  /** Something is queued and not sent yet. */
  dirty = false;
  /** The socket takes nothing more for now. */
  blocked = false;
  /** Close when all is sent, or when that takes too long. */
  ending = false;
  endingSinceMs = 0;
  closed = false;
  cause = "";

  readonly #host: ReceiverHost;
  readonly #memory: SharedMemory;

  constructor(host: ReceiverHost, fd: number, from: string, at: number, nowMs: number) {
    this.#host = host;
    this.#memory = host.memory;
    this.fd = fd;
    this.from = from;
    this.at = at;
    this.openedMs = nowMs;
    this.output = new Output(fd, host.memory, at, this);
    this.receiver = new Receiver(host, this);
  }

  /** A whole header waits that no poll() will tell of. */
  get ready(): boolean {
    return this.receiver.ready && !this.output.congested;
  }

  get reading(): boolean {
    return !this.ending && !this.output.congested;
  }

  markDirty(): void {
    this.dirty = true;
  }

  /** Queues a PDU of one header. */
  sendHeader(encode: (at: number) => void, advances: boolean): void {
    const to = this.output.control(BHS_BYTES);
    if (to < 0) {
      this.fail("too much waits to be sent");
      return;
    }
    encode(to);
    this.output.pushControl(to, BHS_BYTES, advances);
    this.dirty = true;
  }

  /** Queues a PDU with a data segment, padded; `encode` writes both. */
  sendWithData(encode: (at: number) => void, dataBytes: number, advances: boolean): void {
    const bytes = BHS_BYTES + dataBytes + padBytes(dataBytes);
    const to = this.output.control(bytes);
    if (to < 0) {
      this.fail("too much waits to be sent");
      return;
    }
    encode(to);
    this.#memory.bytes.fill(0, to + BHS_BYTES + dataBytes, to + bytes);
    this.output.pushControl(to, bytes, advances);
    this.dirty = true;
  }

  /** Rejects the PDU in hand (RFC 7143 §11.17): its header goes back; its data segment is dropped. */
  reject(reason: number): Disposition {
    const { bytes, view } = this.#memory;
    const { header } = this.receiver;
    this.#host.stats.protocolErrors++;
    this.sendWithData(
      (to) => {
        encodeReject(view, to, reason);
        bytes.copyWithin(to + BHS_BYTES, header, header + BHS_BYTES);
      },
      BHS_BYTES,
      true,
    );
    return "discard";
  }

  /** The connection ends as soon as its target looks at it. */
  fail(cause: string): void {
    if (this.cause === "") this.cause = cause;
    this.closed = true;
  }

  stageTask(output: Output, kind: number, index: number, generation: number, at: number): number {
    return this.session?.stageTask(output, kind, index, generation, at) ?? 0;
  }

  stamp(at: number, advances: boolean): void {
    if (this.session !== null) {
      this.session.stamp(at, advances);
      return;
    }
    this.#memory.view.setUint32(at + 24, this.statSN);
    this.#memory.view.setUint32(at + 28, this.expCmdSN);
    this.#memory.view.setUint32(at + 32, this.expCmdSN);
    if (advances) this.statSN = (this.statSN + 1) >>> 0;
  }

  sent(task: IscsiTask): void {
    task.session?.sent(task);
  }

  flush(): void {
    const outcome = this.output.flush();
    this.blocked = outcome === "blocked";
    this.dirty = false;
    if (outcome === "broken") this.fail("connection lost");
    else if (outcome === "idle" && this.ending) this.fail("");
  }

  /** CmdSN of the request in hand; null: to be carried out. */
  admit(): Disposition | null {
    const { view } = this.#memory;
    const { header } = this.receiver;
    if (this.session === null || (view.getUint8(header) & 0x40) !== 0) return null;
    const verdict = this.session.acceptCmdSN(view.getUint32(header + 24));
    return verdict === "take" ? null : verdict === "ignore" ? "discard" : "drop";
  }
}
