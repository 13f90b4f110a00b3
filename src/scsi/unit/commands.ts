/** @module What a unit's commands look like: one row a command, with its CDB usage map (SPC-5 REPORT SUPPORTED OPERATION CODES: a one where the
 *  device server looks at the bit). The map serves three ends: a bit outside it is answered with its field pointer,
 *  REPORT SUPPORTED OPERATION CODES shows it, and an opcode without a row is invalid. */
import type { Access } from "./persistent.ts";

export interface Command {
  readonly opcode: number;
  /** Service action in bits 4-0 of byte 1, for opcodes that are told apart by it. */
  readonly serviceAction?: number;
  /** CDB usage map: as many bytes as the CDB has; byte 0 is the opcode itself. */
  readonly usage: readonly number[];
  /** SPC-2 §5.5.1: carried out although another nexus holds the reservation. */
  readonly despiteReservation?: true;
  /** What a persistent reservation has to do with it (SPC-5 §5.14.1, SSC-5, SMC-3); default: "write". */
  readonly access?: Access;
  /** SAM-5 §5.14: carried out although a unit attention is pending. */
  readonly despiteAttention?: true;
}

/** `usage` in hex, a byte a pair: row(0x12, "12 01 FF FF FF 00"). */
export function row(usage: string, flags: Omit<Command, "opcode" | "usage"> = {}): Command {
  const bytes = usage.split(" ").map((pair) => Number.parseInt(pair, 16));
  return { opcode: bytes[0]!, usage: bytes, ...flags };
}

/** Rows that differ by their service action alone; they judge reservations for themselves. */
function actions(usage: string, serviceActions: readonly number[]): Command[] {
  return serviceActions.map((serviceAction) =>
    row(usage, { serviceAction, despiteReservation: true, access: "any" }),
  );
}

export class CommandTable {
  readonly rows: readonly Command[];
  private readonly byOpcode: (Command | undefined)[] = new Array<Command | undefined>(256).fill(undefined);

  constructor(rows: readonly Command[]) {
    this.rows = rows;
    for (const command of rows) {
      if (this.byOpcode[command.opcode] === undefined) this.byOpcode[command.opcode] = command;
    }
  }

  /** The row of a CDB; where its service action is unknown, any row of its opcode (`misused` finds that out). */
  of(cdb: Uint8Array): Command | undefined {
    const first = this.byOpcode[cdb[0]!];
    if (first?.serviceAction === undefined) return first;
    return this.find(first.opcode, cdb[1]! & 0x1f) ?? first;
  }

  find(opcode: number, serviceAction: number | null): Command | undefined {
    return this.rows.find(
      (command) =>
        command.opcode === opcode && (serviceAction === null || command.serviceAction === serviceAction),
    );
  }
}

/** First byte with a bit that the command does not know, times 8, plus that bit; -1 where there is none.
 *  Bits 7-5 of byte 1 pass everywhere: SCSI-2 initiators (Linux `ch` among them) put the LUN there. The control
 *  byte's vendor bits pass too; of it only NACA is refused (INQUIRY says that it is not supported). */
export function misused(cdb: Uint8Array, command: Command): number {
  const last = command.usage.length - 1;
  for (let byte = 1; byte <= last; byte++) {
    const mask = byte === last ? 0xfb : byte === 1 ? command.usage[1]! | 0xe0 : command.usage[byte]!;
    const wrong = cdb[byte]! & ~mask;
    if (wrong !== 0) return byte * 8 + (31 - Math.clz32(wrong));
  }
  if (command.serviceAction !== undefined && (cdb[1]! & 0x1f) !== command.serviceAction) return 8 + 4;
  return -1;
}

/** Rows that tapes and changers share. */
export const primaryCommands: readonly Command[] = [
  row("00 00 00 00 00 04", { access: "any" }), // TEST UNIT READY
  row("03 00 00 00 FF 04", { despiteReservation: true, despiteAttention: true, access: "any" }), // REQUEST SENSE
  row("12 01 FF FF FF 04", { despiteReservation: true, despiteAttention: true, access: "any" }), // INQUIRY
  row("15 11 00 00 FF 04"), // MODE SELECT(6)
  row("16 00 00 00 00 04", { access: "any" }), // RESERVE(6)
  row("17 00 00 00 00 04", { despiteReservation: true, access: "any" }), // RELEASE(6)
  row("1A 08 FF FF FF 04", { access: "read" }), // MODE SENSE(6)
  row("1E 00 00 00 03 04"), // PREVENT ALLOW MEDIUM REMOVAL
  row("4C 03 FF FF 00 00 00 FF FF 04"), // LOG SELECT
  row("4D 01 FF FF 00 FF FF FF FF 04", { access: "any" }), // LOG SENSE
  row("55 11 00 00 00 00 00 FF FF 04"), // MODE SELECT(10)
  row("56 00 00 00 00 00 00 00 00 04", { access: "any" }), // RESERVE(10)
  row("57 00 00 00 00 00 00 00 00 04", { despiteReservation: true, access: "any" }), // RELEASE(10)
  row("5A 18 FF FF 00 00 00 FF FF 04", { access: "read" }), // MODE SENSE(10)
  // PERSISTENT RESERVE IN: READ KEYS, READ RESERVATION, REPORT CAPABILITIES, READ FULL STATUS
  ...actions("5E 1F 00 00 00 00 00 FF FF 04", [0, 1, 2, 3]),
  // PERSISTENT RESERVE OUT: REGISTER, RESERVE, RELEASE, CLEAR, PREEMPT, PREEMPT AND ABORT, REGISTER AND IGNORE EXISTING KEY
  ...actions("5F 1F FF 00 00 FF FF FF FF 04", [0, 1, 2, 3, 4, 5, 6]),
  row("A0 00 FF 00 00 00 FF FF FF FF 00 04", {
    despiteReservation: true,
    despiteAttention: true,
    access: "any",
  }), // REPORT LUNS
  row("A3 1F 07 FF FF FF FF FF FF FF 00 04", {
    serviceAction: 0x0c,
    despiteReservation: true,
    access: "any",
  }), // REPORT SUPPORTED OPERATION CODES
];

export const tapeCommands = new CommandTable([
  ...primaryCommands,
  row("01 01 00 00 00 04", { access: "read" }), // REWIND
  row("05 00 00 00 00 04", { despiteReservation: true, access: "any" }), // READ BLOCK LIMITS
  row("08 03 FF FF FF 04", { access: "read" }), // READ(6)
  row("0A 01 FF FF FF 04"), // WRITE(6)
  row("10 01 FF FF FF 04"), // WRITE FILEMARKS(6)
  row("11 0F FF FF FF 04", { access: "read" }), // SPACE(6)
  row("13 07 FF FF FF 04", { access: "read" }), // VERIFY(6)
  row("19 03 00 00 00 04"), // ERASE(6)
  row("1B 01 00 00 0F 04"), // LOAD UNLOAD
  row("2B 07 00 FF FF FF FF 00 FF 04", { access: "read" }), // LOCATE(10)
  row("34 1F 00 00 00 00 00 FF FF 04", { access: "read" }), // READ POSITION
  row("44 03 00 00 00 00 00 FF FF 04", { despiteReservation: true, access: "any" }), // REPORT DENSITY SUPPORT
  row("8C 1F 00 00 00 FF 00 FF FF FF FF FF FF FF 01 04", { access: "read" }), // READ ATTRIBUTE
  row("91 0F 00 00 FF FF FF FF FF FF FF FF 00 00 00 04", { access: "read" }), // SPACE(16)
  row("92 3B 01 FF FF FF FF FF FF FF FF FF 00 00 00 04", { access: "read" }), // LOCATE(16)
]);

export const changerCommands = new CommandTable([
  ...primaryCommands,
  row("07 00 00 00 00 04"), // INITIALIZE ELEMENT STATUS
  row("2B 00 FF FF FF FF 00 00 00 04"), // POSITION TO ELEMENT
  row("37 03 FF FF 00 00 FF FF 00 04"), // INITIALIZE ELEMENT STATUS WITH RANGE
  row("A5 00 FF FF FF FF FF FF 00 00 00 04"), // MOVE MEDIUM
  row("A6 00 FF FF FF FF FF FF FF FF 00 04"), // EXCHANGE MEDIUM
  row("B8 1F FF FF FF FF 07 FF FF FF 00 04", { despiteReservation: true, access: "any" }), // READ ELEMENT STATUS
]);
