/** @module Where connections become sessions: carries Login PDUs to the exchange (login.ts) and admits whom it passes. */

import type { Crc32c } from "../../wasm/crc32c/crc32c.ts";
import { digestsOf, openCrc32c } from "../iscsi/digest.ts";
import { settle, type Terms } from "../iscsi/negotiate.ts";
import {
  AT_CID,
  AT_CMD_SN,
  AT_EXP_STAT_SN,
  AT_ITT,
  AT_TSIH,
  BHS_BYTES,
  FLAG_CONTINUE,
  FLAG_TRANSIT,
  field,
  flagsOf,
  LOGIN_SERVICE_UNAVAILABLE,
} from "../iscsi/pdu.ts";
import { encodeLoginResponse } from "../iscsi/responses.ts";
import { formatText } from "../iscsi/text.ts";
import type { Disposition } from "./commands.ts";
import type { Connection } from "./connection.ts";
import { type Authenticator, type LoginAnswer, type LoginContext, LoginExchange } from "./login.ts";
import { CONTROL_IN } from "./region.ts";
import { Session, type SessionHost } from "./session.ts";
import type { TaskPool } from "./tasks.ts";

export interface DeskOptions {
  readonly host: SessionHost;
  readonly targetName: string;
  readonly targetAlias: string;
  readonly portalGroupTag: number;
  readonly terms: Terms;
  readonly authenticator: ((method: string, initiatorName: string) => Authenticator | null) | null;
  sessions(): Iterable<Session>;
  /** false: the target is about to stop. */
  accepting(): boolean;
  takePool(): TaskPool;
  /** Ends a session that a new login takes the place of. */
  replace(session: Session): void;
}

export class LoginDesk {
  readonly #options: DeskOptions;
  readonly #context: LoginContext;
  #lastTsih = 0;
  #crc: Crc32c | null = null;

  constructor(options: DeskOptions) {
    this.#options = options;
    this.#context = {
      targetName: options.targetName,
      targetAlias: options.targetAlias,
      portalGroupTag: options.portalGroupTag,
      terms: options.terms,
      connectionOf: (tsih, initiatorName) => {
        for (const session of options.sessions()) {
          if (session.tsih === tsih && session.nexus.initiatorName === initiatorName)
            return session.connection.cid;
        }
        return null;
      },
      ...(options.authenticator === null ? {} : { authenticator: options.authenticator }),
    };
  }

  /** A Login Request with its data in the connection's control buffer. */
  handle(connection: Connection, at: number, dataBytes: number): Disposition {
    const { host } = this.#options;
    const { view, bytes } = host.memory;
    const flags = flagsOf(view, at);
    const text = connection.at + CONTROL_IN;
    const cmdSN = field(view, at, AT_CMD_SN);
    const itt = field(view, at, AT_ITT);
    const isidHigh = view.getUint32(at + 8);
    const isidLow = view.getUint16(at + 12);
    const tsih = view.getUint16(at + AT_TSIH);
    const cid = view.getUint16(at + AT_CID);
    let exchange = connection.login;
    if (exchange === null) {
      exchange = connection.login = new LoginExchange(this.#context);
      connection.statSN = field(view, at, AT_EXP_STAT_SN);
      connection.cid = cid;
    }
    connection.expCmdSN = cmdSN;
    let answer = exchange.step({
      transit: (flags & FLAG_TRANSIT) !== 0,
      continues: (flags & FLAG_CONTINUE) !== 0,
      currentStage: (flags >>> 2) & 3,
      nextStage: flags & 3,
      versionMin: view.getUint8(at + 3),
      isidHigh,
      isidLow,
      tsih,
      cid,
      text: bytes.subarray(text, text + dataBytes),
    });
    if (answer.done && !this.#options.accepting()) {
      answer = {
        ...answer,
        status: LOGIN_SERVICE_UNAVAILABLE,
        transit: false,
        done: false,
        pairs: [],
        nextStage: 0,
      };
    }
    const assigned = answer.done ? this.#admit(connection, exchange, cmdSN) : tsih;
    this.#respond(connection, answer, isidHigh, isidLow, assigned, itt);
    return "discard";
  }

  #respond(
    connection: Connection,
    answer: LoginAnswer,
    isidHigh: number,
    isidLow: number,
    tsih: number,
    itt: number,
  ): void {
    const { host } = this.#options;
    const { view, bytes } = host.memory;
    const reply = formatText(answer.pairs);
    const { transit, currentStage, nextStage, status } = answer;
    connection.sendWithData(
      (to) => {
        encodeLoginResponse(
          view,
          to,
          transit,
          false,
          currentStage,
          nextStage,
          isidHigh,
          isidLow,
          tsih,
          itt,
          status,
          reply.length,
        );
        bytes.set(reply, to + BHS_BYTES);
      },
      reply.length,
      true,
    );
    if (status === 0) return;
    host.stats.loginsRefused++;
    if (connection.cause === "") connection.cause = answer.cause;
    connection.ending = true;
  }

  /** Full feature phase: makes the session; one that the same initiator port had before ends (RFC 7143 §6.3.5). */
  #admit(connection: Connection, exchange: LoginExchange, cmdSN: number): number {
    const { host } = this.#options;
    const { initiatorName, discovery } = exchange;
    const isid =
      exchange.isidHigh.toString(16).padStart(8, "0") + exchange.isidLow.toString(16).padStart(4, "0");
    if (!discovery) {
      for (const session of [...this.#options.sessions()]) {
        const same =
          session.nexus.initiatorName === initiatorName && session.isid === isid && !session.discovery;
        if (same) this.#options.replace(session);
      }
    }
    const tsih = this.#nextTsih();
    const pool = discovery ? null : this.#options.takePool();
    const parameters = settle(exchange.negotiation);
    const digests = digestsOf(parameters, () => (this.#crc ??= openCrc32c()));
    connection.output.digests = digests;
    connection.receiver.useDigests(digests);
    const identity = { initiatorName, isid, tsih, discovery };
    connection.session = new Session(host, connection, identity, parameters, pool, cmdSN);
    connection.login = null;
    return tsih;
  }

  #nextTsih(): number {
    const taken = new Set<number>();
    for (const session of this.#options.sessions()) taken.add(session.tsih);
    do this.#lastTsih = (this.#lastTsih % 0xfffe) + 1;
    while (taken.has(this.#lastTsih));
    return this.#lastTsih;
  }
}
