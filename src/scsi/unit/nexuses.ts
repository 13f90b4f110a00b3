/** @module What a logical unit remembers of each I_T nexus (SAM-5): pending unit attentions, and who holds the unit
 *  reserved or its cartridge locked. Holders go by initiator port name, so that they can travel in a handover. */
import type { Sense } from "../sense.ts";
import { powerOnAttention, unitAttention } from "../senses.ts";
import type { Nexus } from "./task.ts";

const ATTENTIONS_MAX = 8;

export interface NexusState {
  readonly nexus: Nexus;
  readonly attentions: Sense[];
}

/** The part of a unit's state that belongs to nexuses, as plain data. */
export interface NexusesState {
  /** Initiator port that holds the reservation, or null. */
  readonly reservedBy: string | null;
  /** Initiator ports that prevent removal. */
  readonly removalPreventedBy: readonly string[];
  /** Initiator port -> [asc, ascq] of its pending attentions. A port named here has had its power-on attention. */
  readonly attentions: Readonly<Record<string, readonly (readonly [number, number])[]>>;
}

export class Nexuses {
  reservedBy: string | null = null;
  private readonly states = new Map<number, NexusState>();
  private readonly preventing = new Set<string>();
  /** Attentions of ports that a handover told of and that have not spoken yet. */
  private readonly inherited = new Map<string, Sense[]>();
  private readonly announcesPowerOn: boolean;

  constructor(announcesPowerOn: boolean, state?: NexusesState) {
    this.announcesPowerOn = announcesPowerOn;
    if (state === undefined) return;
    this.reservedBy = state.reservedBy;
    for (const port of state.removalPreventedBy) this.preventing.add(port);
    for (const [port, attentions] of Object.entries(state.attentions)) {
      this.inherited.set(
        port,
        attentions.map(([asc, ascq]) => unitAttention(asc, ascq)),
      );
    }
  }

  /** The nexus' state; one that is seen for the first time has a power-on attention pending. */
  of(nexus: Nexus): NexusState {
    return this.states.get(nexus.id) ?? this.meet(nexus);
  }

  private meet(nexus: Nexus): NexusState {
    const attentions =
      this.inherited.get(nexus.initiatorPort) ?? (this.announcesPowerOn ? [powerOnAttention] : []);
    this.inherited.delete(nexus.initiatorPort);
    const state = { nexus, attentions };
    this.states.set(nexus.id, state);
    return state;
  }

  /** Queues an attention for every nexus but one; the same one is not queued twice. */
  attention(sense: Sense, exceptNexusId = -1): void {
    for (const { nexus, attentions } of this.states.values()) {
      if (nexus.id !== exceptNexusId) queue(attentions, sense);
    }
    for (const attentions of this.inherited.values()) queue(attentions, sense);
  }

  /** Queues an attention for one initiator port; one that is away hears of its nexus' loss instead. */
  attentionOf(port: string, sense: Sense): void {
    for (const { nexus, attentions } of this.states.values()) {
      if (nexus.initiatorPort === port) queue(attentions, sense);
    }
    const waiting = this.inherited.get(port);
    if (waiting !== undefined) queue(waiting, sense);
  }

  /** A reset: nothing pending but this; reservation and prevention are gone. */
  reset(sense: Sense): void {
    this.reservedBy = null;
    this.preventing.clear();
    this.inherited.clear();
    for (const { attentions } of this.states.values()) attentions.splice(0, attentions.length, sense);
  }

  conflicts(nexus: Nexus): boolean {
    return this.reservedBy !== null && this.reservedBy !== nexus.initiatorPort;
  }

  prevent(nexus: Nexus, prevented: boolean): void {
    if (prevented) this.preventing.add(nexus.initiatorPort);
    else this.preventing.delete(nexus.initiatorPort);
  }

  get removalPrevented(): boolean {
    return this.preventing.size !== 0;
  }

  lost(nexusId: number): void {
    const state = this.states.get(nexusId);
    if (state === undefined) return;
    this.states.delete(nexusId);
    const port = state.nexus.initiatorPort;
    // The same port may have come back already under a new nexus (reinstatement): what it holds stays.
    for (const other of this.states.values()) if (other.nexus.initiatorPort === port) return;
    if (this.reservedBy === port) this.reservedBy = null;
    this.preventing.delete(port);
  }

  export(): NexusesState {
    const attentions: Record<string, readonly (readonly [number, number])[]> = {};
    for (const [port, pending] of this.inherited) attentions[port] = codes(pending);
    for (const { nexus, attentions: pending } of this.states.values()) {
      attentions[nexus.initiatorPort] = codes(pending);
    }
    return { reservedBy: this.reservedBy, removalPreventedBy: [...this.preventing], attentions };
  }
}

function queue(attentions: Sense[], sense: Sense): void {
  const isPending = attentions.some(({ asc, ascq }) => asc === sense.asc && ascq === sense.ascq);
  if (!isPending && attentions.length < ATTENTIONS_MAX) attentions.push(sense);
}

function codes(attentions: readonly Sense[]): (readonly [number, number])[] {
  return attentions.map(({ asc, ascq }) => [asc, ascq] as const);
}
