/** @module What happened, told once: every transition of the house is an event with its evidence, kept in the
 *  catalog, streamed by the API, read by people in the morning.
 *  (1) An event is complete when it is recorded and never altered.
 *  (2) `text` is one sentence for the operator; `evidence` is for the engineer. */

export const EVENT_KINDS = [
  /** Start, stop, configuration. */
  "house",
  /** A state of a directing device was left for another. */
  "transition",
  /** A drive: failed, returned, coupled, fault injected. */
  "drive",
  /** A cartridge: loaded, moved, full, suspect. */
  "cartridge",
  /** The cache array: a member lost, protection lost or back. */
  "cache",
  /** The robot and the library's elements. */
  "library",
  /** An iSCSI session began or ended. */
  "session",
  /** The operator did something through API or CLI. */
  "operator",
] as const;

export type EventKind = (typeof EVENT_KINDS)[number];

export const SEVERITIES = ["info", "warning", "alarm"] as const;
export type Severity = (typeof SEVERITIES)[number];

export type Evidence = { readonly [key: string]: EvidenceValue };
export type EvidenceValue =
  | string
  | number
  | boolean
  | null
  | readonly EvidenceValue[]
  | { readonly [key: string]: EvidenceValue };

export interface NewEvent {
  readonly kind: EventKind;
  readonly severity: Severity;
  /** The virtual drive concerned, by name, or null: the house. */
  readonly device: string | null;
  /** "Streaming -> Classifying", or a word that names what happened ("driveFailed"). */
  readonly transition: string;
  readonly text: string;
  readonly evidence: Evidence;
}

export interface HouseEvent extends NewEvent {
  /** Grows by one an event, for good. */
  readonly id: number;
  /** Milliseconds since 1970 (UTC). */
  readonly atMs: number;
}

export interface EventQuery {
  /** Only events with a larger id. */
  readonly afterId?: number;
  readonly device?: string;
  /** At most so many: the oldest of them when `afterId` is given, else the newest. */
  readonly limit: number;
}

/** Where events go and come from. Listeners are called after the event is kept, in the order of ids. */
export interface EventLog {
  record(event: NewEvent): HouseEvent;
  /** In the order of ids. */
  list(query: EventQuery): readonly HouseEvent[];
  /** Returns the function that ends it. */
  subscribe(listener: (event: HouseEvent) => void): () => void;
}
