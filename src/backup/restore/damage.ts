/** @module A backup's index that is not what was written. */
import { ArchiveDamaged } from "../archive/types.ts";
import { MalformedRecord } from "../index/record.ts";

export interface DamagedIndex {
  readonly kind: "damaged";
  readonly text: string;
}

/** Bytes of an index that are not what was written; anything else is a bug. */
export function damageOf(error: unknown): DamagedIndex {
  if (error instanceof ArchiveDamaged || error instanceof MalformedRecord) {
    return { kind: "damaged", text: `the index is damaged: ${error.message}` };
  }
  throw error;
}
