/** @module Model of step 615: what is on the medium, compared with the journal from the on-tape mark on. */
import type { Journal } from "./journal.ts";
import type { Cartridge } from "./library.ts";

export type Verified =
  | { readonly kind: "verified"; readonly fromJ: number; readonly position: number }
  | { readonly kind: "endOfDataBelowMark" | "otherData" };

export function verifyMedium(journal: Journal, cartridge: Cartridge, onTapeJ: number): Verified {
  const { content } = cartridge;
  const first = journal.indexFrom(onTapeJ);
  const atMark = journal.contentFrom(first);
  const lastBefore = journal.entries.slice(0, first).findLast((entry) => entry.item >= 0);
  // After a crash the tape may hold blocks between the two that the journal lost.
  const markPosition = atMark?.item ?? (lastBefore === undefined ? 0 : lastBefore.item + 1);
  if (content.length < markPosition) return { kind: "endOfDataBelowMark" };
  if (lastBefore !== undefined && content[lastBefore.item] !== lastBefore.item) return { kind: "otherData" };
  if (atMark === undefined)
    return { kind: "verified", fromJ: journal.received, position: cartridge.goodBlocks() };
  // Block by block, until one is missing or cut in two.
  for (let index = first; index < journal.entries.length; index++) {
    const entry = journal.entries[index]!;
    if (entry.item >= 0 && content[entry.item] !== entry.item)
      return { kind: "verified", fromJ: entry.j, position: entry.item };
  }
  return { kind: "verified", fromJ: journal.received, position: cartridge.goodBlocks() };
}
