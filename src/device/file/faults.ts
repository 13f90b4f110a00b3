/** @module Faults as ingredients: rules as data, or as words (`on write 400: hardware error`), armed and cleared while
 *  the drive works.
 *
 *      on COMMAND [N | at block LBA] [persistent]: WHAT [keep buffer | lose buffer]
 *      COMMAND   any, write, writeFilemarks, read, verify, space, locate, rewind, load, unload, readPosition, erase
 *      N         the Nth such command from arming on (default 1);  at block: the first one at or behind that object
 *      WHAT      hardware error | medium error | deferred error [medium | hardware] | hang [N ms | N s] | vanish |
 *                no answer | write protect | stuck | sense K/ASCQ   (hex, as 3/0C00)
 *
 *  (1) A hardware error (key 4) breaks the drive: every medium command fails in the same way until `clear()`.
 *  (2) `persistent` makes any other rule answer every later command of its kind.
 *  (3) Losing the buffer cuts the cartridge back to what had reached the medium; a drive that breaks or vanishes loses it. */
import type { Malformed } from "../../base/brands.ts";
import { malformed } from "../../base/brands.ts";
import type { Sense } from "../../scsi/sense.ts";
import type { TapeOperation } from "../../scsi/unit/task.ts";

export const FAULT_COMMANDS = [
  "any",
  "write",
  "writeFilemarks",
  "read",
  "verify",
  "space",
  "locate",
  "rewind",
  "load",
  "unload",
  "readPosition",
  "erase",
] as const;
export type FaultCommand = (typeof FAULT_COMMANDS)[number];

export interface FaultWhen {
  readonly command: FaultCommand;
  /** The Nth matching command from arming on, from 1. */
  readonly number?: number;
  /** The first matching command at or behind this logical object; instead of `number`. */
  readonly atBlock?: number;
  readonly persistent?: boolean;
}

export type FaultWhat =
  | {
      readonly kind: "sense";
      readonly key: number;
      readonly asc: number;
      readonly ascq: number;
      readonly deferred: boolean;
      readonly loseBuffer: boolean;
    }
  /** Hangs for so long, or (Infinity) until `release()` or `clear()`. */
  | { readonly kind: "hang"; readonly durationMs: number }
  | { readonly kind: "vanish"; readonly loseBuffer: boolean }
  /** The command is carried out, but its answer is lost: nobody knows. */
  | { readonly kind: "noAnswer" }
  | { readonly kind: "writeProtect" }
  /** The cartridge cannot be unloaded or taken out. */
  | { readonly kind: "stuck" };

export interface FaultRule {
  readonly when: FaultWhen;
  readonly what: FaultWhat;
}

function sense(key: number, asc: number, ascq: number, deferred = false): FaultWhat {
  return { kind: "sense", key, asc, ascq, deferred, loseBuffer: key === 4 || deferred };
}

export const hardwareError: FaultWhat = sense(4, 0x44, 0x00);
export const mediumError: FaultWhat = sense(3, 0x0c, 0x00);
export const deferredHardwareError: FaultWhat = sense(4, 0x44, 0x00, true);
export const deferredMediumError: FaultWhat = sense(3, 0x0c, 0x00, true);

const GRAMMAR = /^on\s+([a-z]+)(?:\s+(\d+)|\s+at\s+block\s+(\d+))?(\s+persistent)?\s*:\s*(.+)$/i;
const SENSE = /^(?:sense\s+)?([0-9a-f])\/([0-9a-f]{2})([0-9a-f]{2})$/i;
const HANG = /^hang(?:\s+(\d+)\s*(ms|s))?$/;
const WHATS: Readonly<Record<string, FaultWhat>> = {
  "hardware error": hardwareError,
  "medium error": mediumError,
  "deferred error": deferredMediumError,
  "deferred error medium": deferredMediumError,
  "deferred error hardware": deferredHardwareError,
  "deferred medium error": deferredMediumError,
  "deferred hardware error": deferredHardwareError,
  vanish: { kind: "vanish", loseBuffer: true },
  "no answer": { kind: "noAnswer" },
  "write protect": { kind: "writeProtect" },
  stuck: { kind: "stuck" },
};

function parseWhat(text: string): FaultWhat | null {
  const known = WHATS[text];
  if (known !== undefined) return known;
  const hang = HANG.exec(text);
  if (hang !== null) {
    if (hang[1] === undefined) return { kind: "hang", durationMs: Number.POSITIVE_INFINITY };
    return { kind: "hang", durationMs: Number(hang[1]) * (hang[2] === "s" ? 1000 : 1) };
  }
  const triple = SENSE.exec(text);
  if (triple === null) return null;
  return sense(
    Number.parseInt(triple[1]!, 16),
    Number.parseInt(triple[2]!, 16),
    Number.parseInt(triple[3]!, 16),
  );
}

function withBuffer(what: FaultWhat, loseBuffer: boolean): FaultWhat {
  return what.kind === "sense" || what.kind === "vanish" ? { ...what, loseBuffer } : what;
}

/** One rule from words. */
export function parseFaultRule(text: string): FaultRule | Malformed {
  const trimmed = text.trim();
  const parts = GRAMMAR.exec(trimmed);
  if (parts === null)
    return malformed(
      text,
      "on COMMAND [N | at block LBA] [persistent]: WHAT, as `on write 400: hardware error`",
    );
  const command = FAULT_COMMANDS.find((name) => name.toLowerCase() === parts[1]!.toLowerCase());
  if (command === undefined) return malformed(parts[1]!, `a command: ${FAULT_COMMANDS.join(", ")}`);
  if (parts[2] === "0") return malformed(parts[2], "a count from 1 on: 1 is the next such command");
  const words = parts[5]!.trim().toLowerCase().replaceAll(/\s+/g, " ");
  const buffer = / (keep|lose) buffer$/.exec(words);
  const what = parseWhat(buffer === null ? words : words.slice(0, buffer.index));
  if (what === null) {
    return malformed(
      parts[5]!,
      "hardware error, medium error, deferred error, hang [N ms], vanish, no answer, write protect, stuck, or sense K/ASCQ as 3/0C00",
    );
  }
  const place = parts[3] === undefined ? { number: Number(parts[2] ?? 1) } : { atBlock: Number(parts[3]) };
  return {
    when: { command, ...place, ...(parts[4] === undefined ? {} : { persistent: true }) },
    what: buffer === null ? what : withBuffer(what, buffer[1] === "lose"),
  };
}

function describeWhat(what: FaultWhat): string {
  switch (what.kind) {
    case "sense": {
      const code = (what.asc * 256 + what.ascq).toString(16).toUpperCase().padStart(4, "0");
      const name = Object.entries(WHATS).find(
        ([, other]) =>
          other.kind === "sense" &&
          other.key === what.key &&
          other.asc === what.asc &&
          other.ascq === what.ascq &&
          other.deferred === what.deferred,
      );
      return name?.[0] ?? `sense ${what.key.toString(16).toUpperCase()}/${code}`;
    }
    case "hang":
      return Number.isFinite(what.durationMs) ? `hang ${what.durationMs} ms` : "hang";
    case "vanish":
      return "vanish";
    case "noAnswer":
      return "no answer";
    case "writeProtect":
      return "write protect";
    case "stuck":
      return "stuck";
  }
}

/** The rule in the words that `parseFaultRule` takes. */
export function describeFaultRule({ when, what }: FaultRule): string {
  const place =
    when.atBlock !== undefined
      ? ` at block ${when.atBlock}`
      : (when.number ?? 1) === 1
        ? ""
        : ` ${when.number}`;
  return `on ${when.command}${place}${when.persistent ? " persistent" : ""}: ${describeWhat(what)}`;
}

interface Armed {
  readonly rule: FaultRule;
  seen: number;
  fired: boolean;
}

/** The faults of one drive. All methods are for the thread that owns the drive. */
export class DriveFaults {
  #armed: Armed[] = [];
  /** Sense that every medium command gets since the drive broke, null: it works. */
  broken: Sense | null = null;
  vanished = false;
  writeProtected = false;
  stuck = false;
  /** A hang goes on until this time (clock of the drive); 0: none. */
  hangsUntilMs = 0;
  /** TapeAlert flags raised by faults since they were asked last. */
  readonly alerts = new Set<number>();

  arm(rule: FaultRule): void {
    this.#armed.push({ rule, seen: 0, fired: false });
  }

  /** Repairs the drive and forgets every rule. What was lost stays lost. */
  clear(): void {
    this.#armed = [];
    this.broken = null;
    this.vanished = this.writeProtected = this.stuck = false;
    this.hangsUntilMs = 0;
    this.alerts.clear();
  }

  /** Ends a hang; everything else stays. */
  release(): void {
    this.hangsUntilMs = 0;
  }

  get rules(): readonly FaultRule[] {
    return this.#armed.map((armed) => armed.rule);
  }

  get hasRules(): boolean {
    return this.#armed.length > 0;
  }

  /** The fault that this command meets now, or null. `lba`: where it starts. */
  meet(operation: TapeOperation, lba: number): FaultWhat | null {
    if (this.#armed.length === 0) return null;
    let met: FaultWhat | null = null;
    for (const armed of this.#armed) {
      const { when, what } = armed.rule;
      if (when.command !== "any" && when.command !== operation) continue;
      armed.seen++;
      if (met !== null) continue;
      if (armed.fired) {
        if (when.persistent === true) met = what;
        continue;
      }
      const due = when.atBlock !== undefined ? lba >= when.atBlock : armed.seen >= (when.number ?? 1);
      if (!due) continue;
      armed.fired = true;
      met = what;
    }
    return met;
  }
}
