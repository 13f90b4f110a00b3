/** @module The target's side of login (RFC 7143 §6.3, §11.12), without I/O: one request in, one answer out.
 *
 *      security (0) ──T──▶ operational (1) ──T──▶ full feature (3)
 *           └───────────────────T───────────────────▲
 *
 *  (1) The stage of a request is the one that was agreed on; a request never goes back.
 *  (2) Text with the C bit is gathered and answered with an empty response until its end has come.
 *  (3) Any status but success ends the connection after the answer.
 *  Authentication is one step of the security stage: a method beyond None plugs in as an `Authenticator`. */
import { isIscsiName } from "../iscsi/keys.ts";
import {
  declareSegment,
  type Negotiation,
  negotiation,
  receive,
  TERMS,
  type Terms,
} from "../iscsi/negotiate.ts";
import {
  LOGIN_AUTHENTICATION_FAILURE,
  LOGIN_CANNOT_INCLUDE,
  LOGIN_INITIATOR_ERROR,
  LOGIN_MISSING_PARAMETER,
  LOGIN_NO_SESSION,
  LOGIN_NOT_FOUND,
  LOGIN_SESSION_TYPE_NOT_SUPPORTED,
  LOGIN_SUCCESS,
  LOGIN_TOO_MANY_CONNECTIONS,
  LOGIN_UNSUPPORTED_VERSION,
  STAGE_FULL_FEATURE,
  STAGE_OPERATIONAL,
  STAGE_SECURITY,
} from "../iscsi/pdu.ts";
import { TextCollector, type TextPair } from "../iscsi/text.ts";

export interface LoginRequest {
  readonly transit: boolean;
  readonly continues: boolean;
  readonly currentStage: number;
  readonly nextStage: number;
  readonly versionMin: number;
  readonly isidHigh: number;
  readonly isidLow: number;
  readonly tsih: number;
  readonly cid: number;
  readonly text: Uint8Array;
}

export interface LoginAnswer {
  /** LOGIN_*. */
  readonly status: number;
  readonly transit: boolean;
  readonly currentStage: number;
  readonly nextStage: number;
  readonly pairs: readonly TextPair[];
  /** The connection is in full feature phase after this answer. */
  readonly done: boolean;
  /** For the log, where the login failed. */
  readonly cause: string;
}

/** A step of authentication: takes the initiator's keys of the method, says what goes back. */
export interface Authenticator {
  step(
    pairs: readonly TextPair[],
  ): { kind: "more" | "passed"; reply: TextPair[] } | { kind: "failed"; cause: string };
}

export interface LoginContext {
  readonly targetName: string;
  readonly targetAlias: string;
  readonly portalGroupTag: number;
  readonly terms?: Terms;
  /** CID of the connection of the session with this TSIH, null where there is none. */
  connectionOf(tsih: number, initiatorName: string): number | null;
  /** For methods other than None. */
  authenticator?(method: string, initiatorName: string): Authenticator | null;
}

const REQUESTS_MAX = 64;

export class LoginExchange {
  readonly negotiation: Negotiation;
  initiatorName = "";
  isidHigh = 0;
  isidLow = 0;
  cid = 0;
  tsih = 0;
  readonly #context: LoginContext;
  readonly #collector = new TextCollector();
  #stage = -1;
  #requests = 0;
  #identified = false;
  #authenticator: Authenticator | null = null;
  #authenticated = false;

  constructor(context: LoginContext) {
    this.#context = context;
    this.negotiation = negotiation("target", context.terms ?? TERMS);
  }

  get discovery(): boolean {
    return this.negotiation.discovery;
  }

  step(request: LoginRequest): LoginAnswer {
    const refusal = this.#checkHeader(request);
    if (refusal !== null) return refusal;
    if (!this.#collector.add(request.text)) return this.#refuse(LOGIN_INITIATOR_ERROR, "text too long");
    if (request.continues) return this.#answer(false, request, []);
    const text = this.#collector.take();
    if (text.kind === "malformed") return this.#refuse(LOGIN_INITIATOR_ERROR, text.cause);
    const first = !this.#identified;
    if (first) {
      const unknown = this.#identify(request, text.pairs);
      if (unknown !== null) return unknown;
    }
    const reply: TextPair[] = [];
    // While a method is at work the text is its own.
    const pairs = this.#authenticator === null || this.#authenticated ? text.pairs : [];
    const received = receive(this.negotiation, pairs);
    if (received.kind === "failed") {
      const status = received.authentication ? LOGIN_AUTHENTICATION_FAILURE : LOGIN_INITIATOR_ERROR;
      return this.#refuse(status, received.cause);
    }
    reply.push(...received.reply);
    if (first && !this.discovery) {
      if (this.#context.targetAlias !== "") reply.push(["TargetAlias", this.#context.targetAlias]);
      reply.push(["TargetPortalGroupTag", String(this.#context.portalGroupTag)]);
    }
    if (this.#stage === STAGE_SECURITY) {
      const failure = this.#authenticate(text.pairs, reply);
      if (failure !== null) return failure;
    }
    const method = this.negotiation.authMethod;
    const open = (this.#context.terms ?? TERMS).authMethods.includes("None");
    const leaving = this.#stage === STAGE_OPERATIONAL || (request.transit && method === null);
    if (leaving && !open && !this.#authenticated) {
      return this.#refuse(LOGIN_AUTHENTICATION_FAILURE, "the security stage was passed over");
    }
    if (this.#stage === STAGE_OPERATIONAL) {
      const segment = declareSegment(this.negotiation);
      if (segment !== null) reply.push(segment);
    }
    const secure = method === null || method === "None" || this.#authenticated;
    return this.#answer(request.transit && secure, request, reply);
  }

  #checkHeader(request: LoginRequest): LoginAnswer | null {
    if (++this.#requests > REQUESTS_MAX)
      return this.#refuse(LOGIN_INITIATOR_ERROR, "too many requests in one login");
    if (this.#stage < 0) {
      if (request.versionMin > 0)
        return this.#refuse(LOGIN_UNSUPPORTED_VERSION, `version ${request.versionMin}`);
      this.#stage = request.currentStage;
      this.isidHigh = request.isidHigh;
      this.isidLow = request.isidLow;
      this.tsih = request.tsih;
      this.cid = request.cid;
    } else if (
      request.isidHigh !== this.isidHigh ||
      request.isidLow !== this.isidLow ||
      request.tsih !== this.tsih ||
      request.cid !== this.cid
    ) {
      return this.#refuse(LOGIN_INITIATOR_ERROR, "ISID, TSIH or CID changed during login");
    }
    const { currentStage, nextStage } = request;
    if (currentStage !== this.#stage || currentStage > STAGE_OPERATIONAL) {
      return this.#refuse(LOGIN_INITIATOR_ERROR, `stage ${currentStage} is not the one agreed on`);
    }
    if (request.transit && (nextStage <= currentStage || nextStage === 2)) {
      return this.#refuse(LOGIN_INITIATOR_ERROR, `no way from stage ${currentStage} to ${nextStage}`);
    }
    if (request.transit && request.continues)
      return this.#refuse(LOGIN_INITIATOR_ERROR, "both T and C bit are set");
    return null;
  }

  /** The first text must say who wants to talk to whom (RFC 7143 §6.3). */
  #identify(request: LoginRequest, pairs: readonly TextPair[]): LoginAnswer | null {
    this.#identified = true;
    const value = (key: string): string | undefined => pairs.find((pair) => pair[0] === key)?.[1];
    const name = value("InitiatorName");
    if (name === undefined) return this.#refuse(LOGIN_MISSING_PARAMETER, "no InitiatorName");
    if (!isIscsiName(name))
      return this.#refuse(LOGIN_INITIATOR_ERROR, `not an iSCSI name: ${JSON.stringify(name)}`);
    this.initiatorName = name;
    const type = value("SessionType") ?? "Normal";
    if (type === "Discovery")
      return request.tsih === 0 ? null : this.#refuse(LOGIN_NO_SESSION, "no such session");
    if (type !== "Normal") return this.#refuse(LOGIN_SESSION_TYPE_NOT_SUPPORTED, `SessionType ${type}`);
    const target = value("TargetName");
    if (target === undefined) return this.#refuse(LOGIN_MISSING_PARAMETER, "no TargetName");
    if (target.toLowerCase() !== this.#context.targetName.toLowerCase()) {
      return this.#refuse(LOGIN_NOT_FOUND, `no target ${JSON.stringify(target)}`);
    }
    if (request.tsih === 0) return null;
    const cid = this.#context.connectionOf(request.tsih, name);
    if (cid === null) return this.#refuse(LOGIN_NO_SESSION, `no session ${request.tsih}`);
    // One connection a session: there is no second one, and none is reinstated at error recovery level 0.
    return cid === request.cid
      ? this.#refuse(LOGIN_CANNOT_INCLUDE, "a connection is not reinstated within its session")
      : this.#refuse(LOGIN_TOO_MANY_CONNECTIONS, "one connection a session");
  }

  #authenticate(pairs: readonly TextPair[], reply: TextPair[]): LoginAnswer | null {
    const method = this.negotiation.authMethod;
    if (method === null || method === "None" || this.#authenticated) return null;
    if (this.#authenticator === null) {
      this.#authenticator = this.#context.authenticator?.(method, this.initiatorName) ?? null;
      return this.#authenticator === null
        ? this.#refuse(LOGIN_AUTHENTICATION_FAILURE, `nothing to authenticate by ${method} with`)
        : null;
    }
    const step = this.#authenticator.step(pairs);
    if (step.kind === "failed") return this.#refuse(LOGIN_AUTHENTICATION_FAILURE, step.cause);
    reply.push(...step.reply);
    if (step.kind === "passed") this.#authenticated = true;
    return null;
  }

  #answer(transit: boolean, request: LoginRequest, pairs: readonly TextPair[]): LoginAnswer {
    const currentStage = this.#stage;
    if (transit) this.#stage = request.nextStage;
    return {
      status: LOGIN_SUCCESS,
      transit,
      currentStage,
      nextStage: transit ? request.nextStage : 0,
      pairs,
      done: transit && request.nextStage === STAGE_FULL_FEATURE,
      cause: "",
    };
  }

  #refuse(status: number, cause: string): LoginAnswer {
    const currentStage = Math.max(0, Math.min(this.#stage, STAGE_OPERATIONAL));
    return { status, transit: false, currentStage, nextStage: 0, pairs: [], done: false, cause };
  }
}
