/** @module REPORT SUPPORTED OPERATION CODES (SPC-5) from a unit's command table. */
import { putU16, putU32, u16 } from "../bytes.ts";
import type { CommandTable } from "./commands.ts";

const NOT_SUPPORTED = 0x01;
const SUPPORTED_BY_STANDARD = 0x03;

/** Writes the reply; returns its whole length, or minus the number of the CDB byte that is wrong. */
export function encodeSupportedCommands(table: CommandTable, cdb: Uint8Array, into: Uint8Array): number {
  const option = cdb[2]! & 7;
  if (option === 0) return encodeAll(table, into);
  if (option > 3) return -2;
  const opcode = cdb[3]!;
  const action = u16(cdb, 4);
  const any = table.find(opcode, null);
  const toldByAction = any?.serviceAction !== undefined;
  if (option === 1 && toldByAction) return -2;
  if (option === 2 && any !== undefined && !toldByAction) return -2;
  const command = toldByAction ? table.find(opcode, action) : any;
  into.fill(0, 0, 4);
  if (command === undefined) {
    into[1] = NOT_SUPPORTED;
    return 4;
  }
  into[1] = SUPPORTED_BY_STANDARD;
  putU16(into, 2, command.usage.length);
  for (const [index, bits] of command.usage.entries()) into[4 + index] = bits;
  return 4 + command.usage.length;
}

function encodeAll(table: CommandTable, into: Uint8Array): number {
  let at = 4;
  for (const { opcode, serviceAction, usage } of table.rows) {
    into.fill(0, at, at + 8);
    into[at] = opcode;
    putU16(into, at + 2, serviceAction ?? 0);
    into[at + 5] = serviceAction === undefined ? 0 : 1;
    putU16(into, at + 6, usage.length);
    at += 8;
  }
  putU32(into, 0, at - 4);
  return at;
}
