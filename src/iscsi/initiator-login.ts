/** @module The initiator's login: blocking, one PDU at a time.
 *
 *      connect → security (AuthMethod) → operational (all other keys) → full feature phase */

import { ChapInitiator, isChapKey, type OwnLogin } from "./chap.ts";
import { digestsOf, openCrc32c } from "./digest.ts";
import { Exchange } from "./initiator-exchange.ts";
import type { SessionNumbers } from "./initiator-sender.ts";
import { OWN_TAG } from "./initiator-task.ts";
import type { Wire } from "./initiator-wire.ts";
import type { SessionParameters } from "./keys.ts";
import {
  authOffer,
  type Negotiation,
  negotiation,
  operationalOffers,
  receive,
  settle,
  TERMS,
  type Terms,
} from "./negotiate.ts";
import {
  AT_EXP_CMD_SN,
  AT_ITT,
  AT_LOGIN_STATUS,
  AT_MAX_CMD_SN,
  AT_STAT_SN,
  AT_TSIH,
  DATA_SEGMENT_BYTES_DEFAULT,
  FLAG_CONTINUE,
  FLAG_TRANSIT,
  flagsOf,
  nextSerial,
  OP_LOGIN_RESPONSE,
  opcodeOf,
  STAGE_FULL_FEATURE,
  STAGE_OPERATIONAL,
  STAGE_SECURITY,
} from "./pdu.ts";
import { encodeLogin } from "./requests.ts";
import { formatText, splitText, TextCollector, type TextPair } from "./text.ts";

/** Login PDUs that one login may take: a target that never ends is given up. */
const LOGIN_PDUS_MAX = 64;
const ISID_RANDOM = 0x80000000;

export interface LoginOptions {
  readonly initiatorName: string;
  /** undefined: a discovery session. */
  readonly targetName: string | undefined;
  readonly terms?: Partial<Terms>;
  /** 6 bytes as two numbers; default: random. The same ISID again reinstates the session. */
  readonly isid?: { readonly high: number; readonly low: number };
  /** Logs in by CHAP and by nothing else; `mutual`: the target must prove itself by it. */
  readonly chap?: OwnLogin;
}

export interface LoggedIn {
  readonly kind: "loggedIn";
  readonly parameters: SessionParameters;
  readonly numbers: SessionNumbers;
  readonly tsih: number;
  readonly isid: { readonly high: number; readonly low: number };
  readonly declared: ReadonlyMap<string, string>;
}

export type LoginOutcome =
  | LoggedIn
  /** `status`: class and detail of the target's answer, 0 where it gave none. */
  | { readonly kind: "refused"; readonly status: number; readonly cause: string; readonly address: string };

const STATUS_TEXT: Readonly<Record<number, string>> = {
  257: "the target has moved for now",
  258: "the target has moved for good",
  512: "initiator error",
  513: "authentication failure",
  514: "not allowed for this initiator",
  515: "no such target",
  516: "target removed",
  517: "version not supported",
  518: "too many connections",
  519: "parameter missing",
  520: "cannot be part of the session",
  521: "session type not supported",
  522: "no such session",
  523: "request not valid during login",
  768: "target error",
  769: "service unavailable",
  770: "out of resources",
};

/** Logs in on a fresh connection. */
export function login(wire: Wire, options: LoginOptions, deadlineMs: number): LoginOutcome {
  return new Login(wire, options, deadlineMs).run();
}

class Login {
  readonly #wire: Wire;
  readonly #exchange: Exchange;
  readonly #negotiation: Negotiation;
  readonly #isid: { readonly high: number; readonly low: number };
  readonly #collector = new TextCollector();
  readonly #numbers: SessionNumbers = { cmdSN: 1, expCmdSN: 1, maxCmdSN: 1, expStatSN: 0 };
  readonly #discovery: boolean;
  readonly #chap: ChapInitiator | null;
  #chapBegun = false;
  #outbox: TextPair[];
  #stage = STAGE_SECURITY;
  #offered = false;
  #first = true;
  #tsih = 0;

  constructor(wire: Wire, options: LoginOptions, deadlineMs: number) {
    this.#wire = wire;
    this.#exchange = new Exchange(wire, deadlineMs);
    this.#discovery = options.targetName === undefined;
    const { chap } = options;
    this.#chap = chap === undefined ? null : new ChapInitiator(chap, chap.mutual ?? null);
    const authMethods = this.#chap === null ? {} : { authMethods: ["CHAP"] };
    const terms = { ...TERMS, ...options.terms, ...authMethods };
    this.#negotiation = negotiation("initiator", terms, this.#discovery);
    this.#isid = options.isid ?? {
      high: (ISID_RANDOM | Math.floor(Math.random() * 0x1000000)) >>> 0,
      low: Math.floor(Math.random() * 0x10000),
    };
    this.#outbox = [
      ["InitiatorName", options.initiatorName],
      ["SessionType", this.#discovery ? "Discovery" : "Normal"],
    ];
    if (options.targetName !== undefined) this.#outbox.push(["TargetName", options.targetName]);
    this.#outbox.push(...authOffer(this.#negotiation));
  }

  run(): LoginOutcome {
    for (let pdus = 0; pdus < LOGIN_PDUS_MAX; pdus++) {
      if (this.#stage === STAGE_OPERATIONAL && !this.#offered) {
        this.#offered = true;
        this.#outbox.push(...operationalOffers(this.#negotiation));
      }
      if (!this.#sendText()) return this.#refused();
      const answer = this.#receiveText();
      if (answer !== null) return answer;
      if (this.#stage !== STAGE_FULL_FEATURE) continue;
      const { parameters } = this.#negotiation;
      settle(this.#negotiation);
      this.#wire.digests = digestsOf(parameters, openCrc32c);
      const { declared } = this.#negotiation;
      return {
        kind: "loggedIn",
        parameters,
        numbers: this.#numbers,
        tsih: this.#tsih,
        isid: this.#isid,
        declared,
      };
    }
    return this.#refused("the login does not come to an end");
  }

  /** The stage may end with what is said now: not before CHAP's response. */
  get #mayLeave(): boolean {
    return this.#stage !== STAGE_SECURITY || this.#chap === null || this.#chap.answered;
  }

  /** All that is to be said now, over as many PDUs as it takes. */
  #sendText(): boolean {
    const segments = splitText(formatText(this.#outbox), DATA_SEGMENT_BYTES_DEFAULT);
    this.#outbox = [];
    for (const [index, segment] of segments.entries()) {
      const more = index < segments.length - 1;
      const next = this.#stage === STAGE_SECURITY ? STAGE_OPERATIONAL : STAGE_FULL_FEATURE;
      const { high, low } = this.#isid;
      const { cmdSN, expStatSN } = this.#numbers;
      encodeLogin(
        this.#wire.header,
        0,
        !more && this.#mayLeave,
        more,
        this.#stage,
        next,
        high,
        low,
        this.#tsih,
        OWN_TAG,
        0,
        cmdSN,
        expStatSN,
        segment.length,
      );
      if (!this.#exchange.send(segment)) return false;
      if (more && this.#receivePart() === null) return false;
    }
    return true;
  }

  /** One Login Response: its header checked, its text gathered. null: failed. */
  #receivePart(): { flags: number } | null {
    const bytes = this.#exchange.receive();
    if (bytes < 0) return null;
    const { header } = this.#exchange.reader;
    if (opcodeOf(header, 0) !== OP_LOGIN_RESPONSE || header.getUint32(AT_ITT) !== OWN_TAG) {
      this.#exchange.fail(`unexpected PDU ${opcodeOf(header, 0).toString(16)}h during login`);
      return null;
    }
    this.#collector.add(this.#exchange.data(bytes));
    const status = header.getUint16(AT_LOGIN_STATUS);
    const flags = flagsOf(header, 0);
    const statSN = header.getUint32(AT_STAT_SN);
    if (status >>> 8 === 0 && !this.#first && statSN !== this.#numbers.expStatSN) {
      this.#exchange.fail(`StatSN ${statSN} where ${this.#numbers.expStatSN} was due`);
      return null;
    }
    this.#first = false;
    this.#numbers.expStatSN = nextSerial(statSN);
    this.#numbers.expCmdSN = header.getUint32(AT_EXP_CMD_SN);
    this.#numbers.maxCmdSN = header.getUint32(AT_MAX_CMD_SN);
    this.#tsih = header.getUint16(AT_TSIH);
    return { flags };
  }

  /** The target's whole answer; an outcome only when the login is over without success. */
  #receiveText(): LoginOutcome | null {
    for (let parts = 0; parts < LOGIN_PDUS_MAX; parts++) {
      const part = this.#receivePart();
      if (part === null) return this.#refused();
      const { header } = this.#exchange.reader;
      const status = header.getUint16(AT_LOGIN_STATUS);
      if (status === 0 && (part.flags & FLAG_CONTINUE) !== 0) {
        if (!this.#sendText()) return this.#refused();
        continue;
      }
      const text = this.#collector.take();
      if (text.kind === "malformed") return this.#refused(text.cause);
      if (status !== 0) {
        const address = text.pairs.find(([key]) => key === "TargetAddress")?.[1] ?? "";
        const cause = STATUS_TEXT[status] ?? `status ${status.toString(16).padStart(4, "0")}h`;
        return { kind: "refused", status, cause, address };
      }
      const others = text.pairs.filter(([key]) => this.#chap === null || !isChapKey(key));
      const received = receive(this.#negotiation, others);
      if (received.kind === "failed") return this.#refused(received.cause);
      this.#outbox.push(...received.reply);
      const transits = (part.flags & FLAG_TRANSIT) !== 0;
      const unproved = this.#stage === STAGE_SECURITY ? this.#authenticate(text.pairs, transits) : "";
      if (unproved !== "") return this.#refused(unproved);
      if (!transits) return null;
      const next = part.flags & 3;
      if (((part.flags >>> 2) & 3) !== this.#stage || next <= this.#stage || next === 2) {
        return this.#refused(`the target goes to stage ${next} from ${this.#stage}`);
      }
      this.#stage = next;
      return null;
    }
    return this.#refused("the target's text does not come to an end");
  }

  /** CHAP's part of an answer in the security stage; "" or why the login ends. */
  #authenticate(pairs: readonly TextPair[], transits: boolean): string {
    const chap = this.#chap;
    if (chap === null) return "";
    if (this.#negotiation.authMethod !== "CHAP") return transits ? "the target passed CHAP over" : "";
    if (!this.#chapBegun) {
      this.#chapBegun = true;
      this.#outbox.push(...chap.offer());
    } else {
      const step = chap.step(pairs);
      if (step.kind === "failed") return step.cause;
      this.#outbox.push(...step.reply);
    }
    return transits && !chap.passed ? "the target passed CHAP over" : "";
  }

  #refused(cause = this.#exchange.cause): LoginOutcome {
    return { kind: "refused", status: 0, cause, address: "" };
  }
}
