/** @module Who stands in for whom (RED-08): a spare cartridge that took over from a failed one goes on answering to the
 *  barcode of that one as long as it stays in the library. The servers see barcodes, the robot moves cartridges; this is
 *  the map between the two.
 *  (1) Each shown barcode belongs to exactly one cartridge.
 *  (2) The two change homes: the slot that servers know is kept for the replacement; the failed one belongs into the slot that
 *      the spare was taken from, which no server sees.
 *  (3) A failed cartridge is never chosen again. */
import type { Barcode } from "../base/brands.ts";
import { exported, type StockChange } from "./by-hand.ts";
import { FIRST_SLOT_ADDRESS } from "./robot.ts";
import type { LibraryState } from "./state.ts";

type Entry = LibraryState["cartridges"][number];

/** The barcode that servers see; null: they do not see this cartridge. */
export function shownAs(entry: Pick<Entry, "barcode" | "isSpare" | "shownAs">): Barcode | null {
  if (entry.shownAs !== undefined) return entry.shownAs;
  return entry.isSpare ? null : entry.barcode;
}

export function withStandIn(
  state: LibraryState,
  failed: Barcode,
  replacement: Barcode,
  reason: string,
  atMs: number,
): LibraryState {
  const old = state.cartridges.find(({ barcode }) => barcode === failed);
  const spare = state.cartridges.find(({ barcode }) => barcode === replacement);
  if (old === undefined || spare === undefined) return state;
  const label = shownAs(old);
  if (label === null) return state; // known already
  const cartridges = state.cartridges.map((entry): Entry => {
    if (entry === old)
      return { ...old, shownAs: null, failure: { reason, atMs }, homeAddress: spare.homeAddress };
    if (entry !== spare) return entry;
    const { homeAddress } = old;
    return { ...spare, isSpare: false, shownAs: label, homeAddress, takenFrom: spare.homeAddress };
  });
  return { ...state, cartridges };
}

/** What is to be told about one replacement, until its label has been moved. */
export interface StandIn {
  /** The barcode that servers know; its label is on the first cartridge that failed. */
  readonly label: Barcode;
  readonly replacement: Barcode;
  readonly takenFrom: number;
  readonly reason: string;
  readonly atMs: number;
}

export function standInsOf(state: LibraryState): StandIn[] {
  return state.cartridges.flatMap((entry) => {
    const label = shownAs(entry);
    if (label === null || label === entry.barcode) return [];
    const failure = state.cartridges.find(({ barcode }) => barcode === label)?.failure;
    return [
      {
        label,
        replacement: entry.barcode,
        takenFrom: entry.takenFrom ?? entry.homeAddress,
        reason: failure?.reason ?? "failed",
        atMs: failure?.atMs ?? 0,
      },
    ];
  });
}

/** May it be taken for a cartridge that fails? */
export function isReserve(entry: Pick<Entry, "barcode" | "isSpare" | "shownAs" | "failure">): boolean {
  return entry.isSpare && shownAs(entry) === null && (entry.failure ?? null) === null;
}

/** RED-08: a failed cartridge and the one that stands in for it come out together, whichever is named, and the operator is
 *  told which label to move. Any other cartridge comes out alone. */
export function exportedTogether(state: LibraryState, barcode: Barcode): StockChange {
  const pair = standInsOf(state).find(
    ({ label, replacement }) => label === barcode || replacement === barcode,
  );
  if (pair === undefined) return exported(state, barcode);
  const { label, replacement, takenFrom } = pair;
  const first = exported(state, replacement);
  if (first.state === null) return first;
  const both = exported(first.state, label);
  const slot = takenFrom - FIRST_SLOT_ADDRESS + 1;
  const other =
    both.outcome.kind === "done" ? `${label} came out with it` : `${label} stays: ${both.outcome.text}`;
  return {
    outcome: {
      kind: "done",
      barcode: replacement,
      text: `${replacement} (from slot ${slot}) is exported and ${other}: move the label ${label} from the failed cartridge to ${replacement}`,
    },
    state: both.state ?? first.state,
  };
}
