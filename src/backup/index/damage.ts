/** @module What is thrown where an index is not what was written; anything else that is thrown is a bug. */
import { ArchiveDamaged } from "../archive/types.ts";
import { MalformedRecord } from "./varint.ts";

export function isDamage(error: unknown): error is ArchiveDamaged | MalformedRecord {
  return error instanceof ArchiveDamaged || error instanceof MalformedRecord;
}
