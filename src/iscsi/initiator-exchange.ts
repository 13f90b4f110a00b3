/** @module Blocking exchanges of the initiator, one PDU out, one in: all there is while a session has no tasks. */
import { ptr } from "bun:ffi";
import { EAGAIN, errorText } from "../base/ffi.ts";
import { POLLIN, POLLOUT } from "../base/socket.ts";
import type { LoggedIn } from "./initiator-login.ts";
import { PduReader, type PduSink } from "./initiator-reader.ts";
import type { SessionNumbers } from "./initiator-sender.ts";
import { OWN_TAG } from "./initiator-task.ts";
import type { Wire } from "./initiator-wire.ts";
import {
  AT_ITT,
  AT_STAT_SN,
  AT_TTT,
  DATA_SEGMENT_BYTES_DEFAULT,
  FLAG_FINAL,
  flagsOf,
  LOGOUT_SESSION,
  nextSerial,
  OP_LOGOUT_RESPONSE,
  OP_TEXT_RESPONSE,
  opcodeOf,
  TAG_NONE,
} from "./pdu.ts";
import { encodeLogout, encodeText } from "./requests.ts";
import { formatText, TextCollector, type TextPair } from "./text.ts";

/** Text PDUs that one answer may take. */
const TEXT_PDUS_MAX = 64;

/** Blocking exchanges over a wire: what is needed while there are no tasks. */
export class Exchange implements PduSink {
  readonly reader = new PduReader();
  segmentBytesMax = DATA_SEGMENT_BYTES_DEFAULT;
  cause = "";
  readonly #wire: Wire;
  readonly #deadlineMs: number;
  #arrived = -1;

  constructor(wire: Wire, deadlineMs: number) {
    this.#wire = wire;
    this.#deadlineMs = deadlineMs;
  }

  get failed(): boolean {
    return this.cause !== "";
  }

  fail(cause: string): void {
    if (this.cause === "") this.cause = cause;
  }

  placeData(): number {
    return 0;
  }

  onPdu(_header: DataView, dataBytes: number): void {
    this.#arrived = dataBytes;
  }

  /** Sends the PDU whose header lies in the wire already. */
  send(data: Uint8Array): boolean {
    this.#wire.begin(data.length === 0 ? 0 : ptr(data), data.length);
    while (this.#wire.sending && !this.failed) {
      const sent = this.#wire.push();
      if (sent >= 0) continue;
      if (sent !== -EAGAIN) this.fail(errorText(sent));
      else if (this.#wire.wait(POLLOUT, this.#deadlineMs) === 0) this.fail("no answer in time");
    }
    return !this.failed;
  }

  /** Waits for the next PDU; its data segment is in `reader.scratch`. Bytes of data, or -1. */
  receive(): number {
    this.#arrived = -1;
    while (!this.failed) {
      if (this.#wire.wait(POLLIN, this.#deadlineMs) === 0) this.fail("no answer in time");
      else this.reader.read(this.#wire, this, 1);
      if (this.#arrived >= 0) return this.#arrived;
    }
    return -1;
  }

  data(bytes: number): Uint8Array {
    return this.reader.scratch.subarray(0, bytes);
  }
}

/** SendTargets=All in a discovery session (RFC 7143 §4.3): all pairs of the answer, or why there is none. */
export function sendTargets(wire: Wire, session: LoggedIn, deadlineMs: number): readonly TextPair[] | string {
  const exchange = new Exchange(wire, deadlineMs);
  exchange.segmentBytesMax = session.parameters.ownSegmentBytes;
  const collector = new TextCollector();
  const { numbers } = session;
  let request = formatText([["SendTargets", "All"]]);
  let ttt = TAG_NONE;
  for (let pdus = 0; pdus < TEXT_PDUS_MAX; pdus++) {
    encodeText(
      wire.header,
      0,
      false,
      true,
      false,
      OWN_TAG,
      ttt,
      numbers.cmdSN,
      numbers.expStatSN,
      request.length,
    );
    numbers.cmdSN = nextSerial(numbers.cmdSN);
    if (!exchange.send(request)) return exchange.cause;
    const bytes = exchange.receive();
    if (bytes < 0) return exchange.cause;
    const { header } = exchange.reader;
    if (opcodeOf(header, 0) !== OP_TEXT_RESPONSE || header.getUint32(AT_ITT) !== OWN_TAG) {
      return `unexpected PDU ${opcodeOf(header, 0).toString(16)}h instead of a text response`;
    }
    numbers.expStatSN = nextSerial(header.getUint32(AT_STAT_SN));
    if (!collector.add(exchange.data(bytes))) return "the list of targets is too long";
    if ((flagsOf(header, 0) & FLAG_FINAL) !== 0) {
      const text = collector.take();
      return text.kind === "text" ? text.pairs : text.cause;
    }
    ttt = header.getUint32(AT_TTT);
    request = new Uint8Array(0);
  }
  return "the list of targets does not come to an end";
}

/** Ends a session without tasks. true: the target agreed. */
export function logoutExchange(wire: Wire, numbers: SessionNumbers, deadlineMs: number): boolean {
  const exchange = new Exchange(wire, deadlineMs);
  encodeLogout(wire.header, 0, true, LOGOUT_SESSION, OWN_TAG, 0, numbers.cmdSN, numbers.expStatSN);
  return (
    exchange.send(new Uint8Array(0)) &&
    exchange.receive() >= 0 &&
    opcodeOf(exchange.reader.header, 0) === OP_LOGOUT_RESPONSE
  );
}
