/** @module Persistent reservations (SPC-5 §5.14, §6.16, §6.17): who has registered which key, and what the holder keeps the
 *  others from. Pure state and rules; the unit decodes, and carries out what an outcome says.
 *
 *  (1) Registrations go by initiator port name: they outlive the nexus, a reset, and travel in a handover; not a power
 *      loss (APTPL is refused, PTPL_C is 0).
 *  (2) At most one reservation, of the whole unit. With the all-registrants types every registrant is its holder.
 *  (3) A holder is always registered; the reservation goes with its last holder's registration.
 *  (4) PRGENERATION counts what REGISTER, CLEAR and PREEMPT change, and nothing else. */
import { putU16, putU32, u32 } from "../bytes.ts";
import type { Sense } from "../sense.ts";
import * as senses from "../senses.ts";

export const READ_KEYS = 0;
export const READ_RESERVATION = 1;
export const REPORT_CAPABILITIES = 2;
export const READ_FULL_STATUS = 3;

export const REGISTER = 0;
export const RESERVE = 1;
export const RELEASE = 2;
export const CLEAR = 3;
export const PREEMPT = 4;
export const PREEMPT_AND_ABORT = 5;
export const REGISTER_AND_IGNORE = 6;

export const WRITE_EXCLUSIVE = 1;
export const EXCLUSIVE_ACCESS = 3;
export const WRITE_EXCLUSIVE_REGISTRANTS = 5;
export const EXCLUSIVE_ACCESS_REGISTRANTS = 6;
export const WRITE_EXCLUSIVE_ALL = 7;
export const EXCLUSIVE_ACCESS_ALL = 8;

/** Parameter list of PERSISTENT RESERVE OUT: key (8), service action key (8), obsolete (4), flags, reserved (3). */
export const OUT_LIST_BYTES = 24;
const AT_FLAGS = 20;

/** What a command does to the unit, as the tables of SPC-5, SSC-5 and SMC-3 sort it: allowed to anybody; allowed beside
 *  a write exclusive reservation; neither. */
export type Access = "any" | "read" | "write";

export interface PersistentState {
  readonly generation: number;
  /** Initiator port -> key, in hex. */
  readonly registrations: Readonly<Record<string, string>>;
  /** Port of the one holder; null: none, or every registrant. */
  readonly holder: string | null;
  readonly type: number;
}

export type PersistentOutcome =
  | {
      readonly kind: "good";
      /** Unit attentions for other ports. */
      readonly attentions: readonly (readonly [port: string, sense: Sense])[];
      /** Ports whose commands are to be aborted. */
      readonly aborted: readonly string[];
    }
  | { readonly kind: "conflict" }
  | { readonly kind: "refused"; readonly sense: Sense };

const CONFLICT: PersistentOutcome = { kind: "conflict" };
const NOTHING: PersistentOutcome = { kind: "good", attentions: [], aborted: [] };
/** All of them fit into one READ FULL STATUS. */
const REGISTRATIONS_MAX = 128;
const NO_KEY = "0000000000000000";

const refused = (sense: Sense): PersistentOutcome => ({ kind: "refused", sense });
const isType = (type: number) => type === 1 || type === 3 || (type >= 5 && type <= 8);
const isAll = (type: number) => type === WRITE_EXCLUSIVE_ALL || type === EXCLUSIVE_ACCESS_ALL;
/** Registrants share the unit, so that they are to be told when that ends. */
const isShared = (type: number) => type >= WRITE_EXCLUSIVE_REGISTRANTS;
const leavesReading = (type: number) =>
  type === WRITE_EXCLUSIVE || type === WRITE_EXCLUSIVE_REGISTRANTS || type === WRITE_EXCLUSIVE_ALL;

export class Persistent {
  #generation = 0;
  readonly #registrations = new Map<string, string>();
  #holder: string | null = null;
  #type = 0;

  constructor(state?: PersistentState) {
    if (state === undefined) return;
    for (const [port, key] of Object.entries(state.registrations)) this.#registrations.set(port, key);
    this.#generation = state.generation;
    this.#type = state.type;
    this.#holder = state.holder;
  }

  export(): PersistentState {
    return {
      generation: this.#generation,
      registrations: Object.fromEntries(this.#registrations),
      holder: this.#holder,
      type: this.#type,
    };
  }

  /** Power was lost. */
  clear(): void {
    this.#registrations.clear();
    this.#generation = 0;
    this.#free();
  }

  get registered(): boolean {
    return this.#registrations.size > 0;
  }

  /** Does the reservation keep this port from such a command? */
  conflicts(port: string, access: Access): boolean {
    const type = this.#type;
    if (type === 0 || access === "any") return false;
    if (isShared(type) ? this.#registrations.has(port) : this.#holder === port) return false;
    return !(access === "read" && leavesReading(type));
  }

  // --- PERSISTENT RESERVE OUT ---

  /** Carries out one service action; `scopeAndType`: byte 2 of the CDB. */
  out(port: string, action: number, scopeAndType: number, list: Uint8Array): PersistentOutcome {
    if (list.length !== OUT_LIST_BYTES) return refused(senses.parameterListLengthError);
    const flags = list[AT_FLAGS] ?? 0;
    if (action === REGISTER || action === REGISTER_AND_IGNORE) {
      // SPEC_I_PT, ALL_TG_PT, APTPL: none of them is offered (REPORT CAPABILITIES).
      for (const bit of [3, 2, 0]) {
        if ((flags & (1 << bit)) !== 0) return refused(senses.invalidFieldInParameterList(AT_FLAGS, bit));
      }
    }
    const typed =
      action === RESERVE || action === RELEASE || action === PREEMPT || action === PREEMPT_AND_ABORT;
    const type = scopeAndType & 15;
    if (typed && (scopeAndType >> 4 !== 0 || !isType(type))) return refused(senses.invalidFieldInCdb(2));
    const key = keyAt(list, 0);
    const actionKey = keyAt(list, 8);
    const own = this.#registrations.get(port);
    if (action === REGISTER_AND_IGNORE) return this.#register(port, actionKey);
    if (action === REGISTER) return key === (own ?? NO_KEY) ? this.#register(port, actionKey) : CONFLICT;
    if (own === undefined || own !== key) return CONFLICT;
    switch (action) {
      case RESERVE:
        return this.#reserve(port, type);
      case RELEASE:
        return this.#release(port, type);
      case CLEAR:
        return this.#clearAll(port);
      case PREEMPT:
      case PREEMPT_AND_ABORT:
        return this.#preempt(port, actionKey, type, action === PREEMPT_AND_ABORT);
      default:
        return refused(senses.invalidFieldInCdb(1, 4));
    }
  }

  #free(): void {
    this.#type = 0;
    this.#holder = null;
  }

  #holds(port: string): boolean {
    return this.#type !== 0 && (isAll(this.#type) ? this.#registrations.has(port) : this.#holder === port);
  }

  #others(port: string): string[] {
    return [...this.#registrations.keys()].filter((other) => other !== port);
  }

  #register(port: string, key: string): PersistentOutcome {
    const before = this.#registrations.has(port);
    if (key !== NO_KEY && !before && this.#registrations.size >= REGISTRATIONS_MAX)
      return refused(senses.insufficientRegistrationResources);
    if (key !== NO_KEY) this.#registrations.set(port, key);
    else if (!before) return NOTHING;
    const held = this.#holds(port);
    if (key === NO_KEY) this.#registrations.delete(port);
    this.#generation = (this.#generation + 1) >>> 0;
    if (key !== NO_KEY || !held) return NOTHING;
    // The holder goes (§5.14.11.2.2): with all registrants, the last one of them.
    if (isAll(this.#type) && this.registered) return NOTHING;
    const shared = isShared(this.#type);
    this.#free();
    return shared ? told(this.#others(port), senses.reservationsReleasedAttention) : NOTHING;
  }

  #reserve(port: string, type: number): PersistentOutcome {
    if (this.#type !== 0) return this.#holds(port) && this.#type === type ? NOTHING : CONFLICT;
    this.#take(port, type);
    return NOTHING;
  }

  #take(port: string, type: number): void {
    this.#type = type;
    this.#holder = isAll(type) ? null : port;
  }

  #release(port: string, type: number): PersistentOutcome {
    if (!this.#holds(port)) return NOTHING;
    if (this.#type !== type) return refused(senses.invalidRelease);
    this.#free();
    return isShared(type) ? told(this.#others(port), senses.reservationsReleasedAttention) : NOTHING;
  }

  #clearAll(port: string): PersistentOutcome {
    const others = this.#others(port);
    this.#registrations.clear();
    this.#free();
    this.#generation = (this.#generation + 1) >>> 0;
    return told(others, senses.reservationsPreemptedAttention);
  }

  /** §5.14.11.2.5: the registrations of a key go, and the reservation if it was theirs. */
  #preempt(port: string, key: string, type: number, aborts: boolean): PersistentOutcome {
    const before = this.#type;
    const all = isAll(before);
    if (key === NO_KEY && !all) return refused(senses.invalidFieldInParameterList(8));
    const takes = all
      ? key === NO_KEY
      : this.#holder !== null && this.#registrations.get(this.#holder) === key;
    const owners = [...this.#registrations].filter(([, theirs]) => key === NO_KEY || theirs === key);
    if (owners.length === 0) return CONFLICT;
    const gone = owners.map(([owner]) => owner).filter((owner) => owner !== port);
    // Its own registration goes too where that is what it names and no reservation is at stake.
    const keepsOwn = takes || owners.length !== gone.length + 1;
    for (const owner of gone) this.#registrations.delete(owner);
    if (!keepsOwn) this.#registrations.delete(port);
    this.#generation = (this.#generation + 1) >>> 0;
    const attentions: [string, Sense][] = gone.map((other) => [
      other,
      senses.registrationsPreemptedAttention,
    ]);
    if (takes) {
      this.#take(port, type);
      if (before !== type) {
        for (const other of this.#others(port))
          attentions.push([other, senses.reservationsReleasedAttention]);
      }
    } else if (all && !this.registered) this.#free();
    return { kind: "good", attentions, aborted: aborts ? gone : [] };
  }

  // --- PERSISTENT RESERVE IN ---

  /** Writes the reply, as much of it as there is room for; returns its whole length, -1 for an unknown action. */
  in(action: number, into: Uint8Array): number {
    switch (action) {
      case READ_KEYS:
        return this.#readKeys(into);
      case READ_RESERVATION:
        return this.#readReservation(into);
      case REPORT_CAPABILITIES:
        into.fill(0, 0, 8);
        putU16(into, 0, 8);
        into[3] = 0x80; // TMV: the type mask is valid
        into[4] = 0xea; // WR_EX_AR, EX_AC_RO, WR_EX_RO, EX_AC, WR_EX
        into[5] = 0x01; // EX_AC_AR
        return 8;
      case READ_FULL_STATUS:
        return this.#readFullStatus(into);
      default:
        return -1;
    }
  }

  #head(into: Uint8Array, bytes: number): number {
    putU32(into, 0, this.#generation);
    putU32(into, 4, bytes);
    return 8 + bytes;
  }

  #readKeys(into: Uint8Array): number {
    let at = 8;
    for (const key of this.#registrations.values()) at = putKey(into, at, key);
    return this.#head(into, at - 8);
  }

  #readReservation(into: Uint8Array): number {
    if (this.#type === 0) return this.#head(into, 0);
    into.fill(0, 8, 24);
    // With all registrants the key is zero (§6.16.3.3).
    if (this.#holder !== null) putKey(into, 8, this.#registrations.get(this.#holder) ?? NO_KEY);
    into[21] = this.#type;
    return this.#head(into, 16);
  }

  #readFullStatus(into: Uint8Array): number {
    let at = 8;
    for (const [port, key] of this.#registrations) {
      into.fill(0, at, at + 24);
      putKey(into, at, key);
      if (this.#holds(port)) {
        into[at + 12] = 0x01; // R_HOLDER
        into[at + 13] = this.#type;
      }
      putU16(into, at + 18, 1); // relative target port
      const bytes = putTransportId(into, at + 24, port);
      putU32(into, at + 20, bytes);
      at += 24 + bytes;
    }
    return this.#head(into, at - 8);
  }
}

function told(ports: readonly string[], sense: Sense): PersistentOutcome {
  return { kind: "good", attentions: ports.map((port) => [port, sense] as const), aborted: [] };
}

function keyAt(list: Uint8Array, at: number): string {
  const word = (offset: number) => u32(list, offset).toString(16).padStart(8, "0");
  return word(at) + word(at + 4);
}

function putKey(into: Uint8Array, at: number, key: string): number {
  putU32(into, at, Number.parseInt(key.slice(0, 8), 16));
  putU32(into, at + 4, Number.parseInt(key.slice(8), 16));
  return at + 8;
}

/** iSCSI TransportID with the initiator port's name (SPC-5 §7.6.4.6): ended by a NUL, padded to four bytes. */
function putTransportId(into: Uint8Array, at: number, port: string): number {
  const bytes = Math.max(20, (port.length + 4) & ~3);
  into.fill(0, at, at + 4 + bytes);
  into[at] = 0x45; // format 01b, protocol iSCSI
  putU16(into, at + 2, bytes);
  for (let index = 0; index < port.length; index++) into[at + 4 + index] = port.charCodeAt(index);
  return 4 + bytes;
}
