/** @module A backup's marks on disk: backups/NUMBER.marks, replaced whole. Where there is no file, nothing is marked. */
import { readFileSync } from "node:fs";
import { type Marks, VERIFY_LEVELS } from "./contract.ts";
import { errorCode, errorWords } from "./durable.ts";
import { seal, unseal } from "./sealed.ts";

export const NO_MARKS: Marks = { verified: null, pinned: false };

export interface MarksRead {
  readonly marks: Marks;
  /** Why they cannot be trusted; null: all is well. */
  readonly complaint: string | null;
}

/** What cannot be read counts as not verified, and as pinned: so nobody depends on the backup, and nobody pares it. */
function doubtful(complaint: string): MarksRead {
  return { marks: { verified: null, pinned: true }, complaint };
}

export function readMarks(path: string): MarksRead {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return { marks: NO_MARKS, complaint: null };
    return doubtful(errorWords(error));
  }
  return parseMarks(text);
}

export function parseMarks(text: string): MarksRead {
  const sealed = unseal(text);
  if (sealed.kind === "damaged") return doubtful(sealed.text);
  const { format, version, verified, pinned } = sealed.value;
  if (format !== "understudy-marks" || version !== 1) return doubtful("of an unknown format version");
  if (typeof pinned !== "boolean") return doubtful("not understood");
  if (verified === null) return { marks: { verified: null, pinned }, complaint: null };
  if (typeof verified !== "object" || verified === undefined) return doubtful("not understood");
  const { at, level } = verified as Record<string, unknown>;
  const known = VERIFY_LEVELS.find((one) => one === level);
  const atMs = typeof at === "string" ? Date.parse(at) : Number.NaN;
  if (known === undefined || Number.isNaN(atMs)) return doubtful("not understood");
  return { marks: { verified: { atMs, level: known }, pinned }, complaint: null };
}

export function marksText({ verified, pinned }: Marks): string {
  return seal({
    format: "understudy-marks",
    version: 1,
    verified: verified === null ? null : { at: new Date(verified.atMs).toISOString(), level: verified.level },
    pinned,
  });
}
