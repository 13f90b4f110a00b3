/** @module What the API stands on. The composition root provides it; nothing here is on the data path. */
import type { Barcode, DeviceName, DriveId } from "../base/brands.ts";
import type { EventLog } from "../base/events.ts";
import type { LibraryStatus, StatusFacts } from "../base/status.ts";

/** How an operator's order ended. `text` is one sentence for the operator. */
export type OrderOutcome =
  | { readonly kind: "done"; readonly text: string }
  /** There is no such drive, device or rule. */
  | { readonly kind: "notFound"; readonly text: string }
  /** Not in this state. */
  | { readonly kind: "conflict"; readonly text: string }
  /** The order itself cannot be understood (a malformed fault rule). */
  | { readonly kind: "malformed"; readonly text: string };

export interface RetryOrder {
  readonly device: DeviceName;
  /** Go on with this real drive; null: the one at hand. */
  readonly drive: DriveId | null;
  /** Go on with this cartridge, by barcode; null: the one at hand. */
  readonly cartridge: string | null;
}

export interface ReplaceCacheDisk {
  readonly device: DeviceName;
  /** Number of the member, from 1, in the order of the configuration. */
  readonly member: number;
}

export interface AddCartridge {
  /** null: the next one. */
  readonly barcode: Barcode | null;
  /** Capacity in mebibytes; null: as the library's others. */
  readonly megabytes: number | null;
  /** Kept for one that fails. */
  readonly isSpare: boolean;
}

export interface HttpPorts {
  status(): StatusFacts;
  library(): LibraryStatus;
  readonly events: Pick<EventLog, "list" | "subscribe">;
  injectFault(drive: DriveId, rule: string): OrderOutcome | Promise<OrderOutcome>;
  clearFaults(drive: DriveId): OrderOutcome | Promise<OrderOutcome>;
  returnDrive(drive: DriveId): OrderOutcome | Promise<OrderOutcome>;
  /** The disk at a lost member's path is a new one: rebuild it. */
  replaceCacheDisk(order: ReplaceCacheDisk): OrderOutcome | Promise<OrderOutcome>;
  addCartridge(order: AddCartridge): OrderOutcome | Promise<OrderOutcome>;
  /** Out of the library; its file is kept. */
  exportCartridge(barcode: Barcode): OrderOutcome | Promise<OrderOutcome>;
  importCartridge(barcode: Barcode): OrderOutcome | Promise<OrderOutcome>;
  operatorRetry(order: RetryOrder): OrderOutcome | Promise<OrderOutcome>;
}

export interface HttpSettings {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Required on every request where it is set. */
  readonly token: string | null;
}
