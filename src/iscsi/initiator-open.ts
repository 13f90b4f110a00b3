/** @module How the initiator comes to a session: connection, login; discovery. */
import { logoutExchange, sendTargets } from "./initiator-exchange.ts";
import { type LoggedIn, type LoginOptions, login } from "./initiator-login.ts";
import { Wire } from "./initiator-wire.ts";

export interface PortalOptions extends Omit<LoginOptions, "targetName"> {
  readonly host: string;
  readonly port: number;
  /** For connecting and logging in. */
  readonly timeoutMs: number;
}

export interface InitiatorOptions extends PortalOptions {
  /** Default: the first target that a discovery session names. */
  readonly targetName?: string;
  /** Commands outstanding at once. */
  readonly depth?: number;
}

export interface DiscoveredTarget {
  readonly name: string;
  /** HOST:PORT,GROUP as the target states them. */
  readonly addresses: readonly string[];
}

/** No session came about. */
export class InitiatorError extends Error {
  /** Status class and detail of the target's Login Response; 0: it gave none. */
  readonly loginStatus: number;
  /** Where the target has moved to (status class 1); "" otherwise. */
  readonly address: string;
  constructor(message: string, loginStatus = 0, address = "") {
    super(message);
    this.name = "InitiatorError";
    this.loginStatus = loginStatus;
    this.address = address;
  }
}

/** The targets at a portal. */
export function discover(options: PortalOptions): DiscoveredTarget[] {
  const deadlineMs = performance.now() + options.timeoutMs;
  const { wire, session } = openSession(options, undefined, deadlineMs);
  const pairs = sendTargets(wire, session, deadlineMs);
  if (typeof pairs !== "string") logoutExchange(wire, session.numbers, deadlineMs);
  wire.close();
  if (typeof pairs === "string") throw new InitiatorError(`discovery: ${pairs}`);
  const targets: { name: string; addresses: string[] }[] = [];
  for (const [key, value] of pairs) {
    if (key === "TargetName") targets.push({ name: value, addresses: [] });
    else if (key === "TargetAddress") targets.at(-1)?.addresses.push(value);
  }
  return targets;
}

/** Connects and logs in; `targetName` undefined: to a discovery session. Throws InitiatorError. */
export function openSession(
  options: PortalOptions,
  targetName: string | undefined,
  deadlineMs: number,
): { wire: Wire; session: LoggedIn } {
  const portal = `${options.host}:${options.port}`;
  const connected = Wire.connect(options.host, options.port, deadlineMs);
  if (connected.kind === "failed") throw new InitiatorError(`${portal}: ${connected.cause}`);
  const outcome = login(connected.wire, { ...options, targetName }, deadlineMs);
  if (outcome.kind === "loggedIn") return { wire: connected.wire, session: outcome };
  connected.wire.close();
  throw new InitiatorError(`${portal}: login refused: ${outcome.cause}`, outcome.status, outcome.address);
}
