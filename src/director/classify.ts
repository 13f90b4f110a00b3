/** @module Whose fault is it? (RED-18; step 607)
 *
 *  A table of sense codes and TapeAlert flags, and two rules over it:
 *  (1) A sense code speaks first; TapeAlert decides where the sense is unclear or missing.
 *  (2) Scores decide what one event cannot: two drives failing on one cartridge: the cartridge; two cartridges failing
 *      in one drive: the drive. A code that names the drive plainly is believed until a third drive has died of the
 *      same cartridge: spares are not fed to it one after another.
 *
 *  Pure. Reading the evidence is the caller's: LOG SENSE 2Eh may clear its flags, so it is read once an event. */

export type Blame =
  | "drive"
  | "cartridge"
  | "unclear"
  | "mechanism"
  | "path"
  | "cleaning"
  | "state"
  | "wait"
  | "recovered"
  | "endOfMedium";

export type Act =
  /** The drive is out until someone returns it; its cartridge goes to a spare (611). */
  | "replaceDrive"
  /** The same cartridge in another drive tells more. */
  | "otherDrive"
  | "otherDriveOnce"
  /** 620 or 631. */
  | "replaceCartridge"
  /** As replaceDrive, but the drive only wants a cleaning cartridge. */
  | "cleanNow"
  | "cleanAfterJob"
  /** A cleaning cartridge lies where data should be. */
  | "neverData"
  /** The host or the operator protected it. */
  | "writeProtected"
  /** Note it, find the position again, go on with the same drive. */
  | "score"
  | "waitUntilReady"
  | "readPosition"
  /** Medium gone in a job: see where the robot thinks that it is. */
  | "readElements"
  | "endOfMedium";

export interface SenseCode {
  readonly key: number;
  readonly asc: number;
  readonly ascq: number;
  /** 71h, 73h: an earlier, already acknowledged command failed. */
  readonly deferred: boolean;
}

/** What is known of earlier failures (score.ts), this one not counted. */
export interface Scores {
  /** Other drives in which the cartridge failed and the drive was not proven guilty. */
  readonly otherDrivesOnCartridge: number;
  /** Other drives that died on the cartridge, whatever the reason. */
  readonly drivesDeadOnCartridge: number;
  /** Other cartridges that failed in the drive and were not proven guilty. */
  readonly otherCartridgesInDrive: number;
}

export const NO_SCORES: Scores = {
  otherDrivesOnCartridge: 0,
  drivesDeadOnCartridge: 0,
  otherCartridgesInDrive: 0,
};

export interface FaultEvidence {
  readonly sense: SenseCode | null;
  /** TapeAlert flags that are set (1..64). */
  readonly tapeAlerts: readonly number[];
  /** The transport lost the drive: whether the last command was carried out is not known. */
  readonly unreachable: boolean;
  /** It did not answer in time, or crawls. */
  readonly timedOut: boolean;
  readonly scores: Scores;
}

export interface Verdict {
  readonly blame: Blame;
  readonly act: Act;
  readonly meaning: string;
  /** Name of the row that spoke. */
  readonly row: string;
  /** The scores spoke against the row. */
  readonly overruled: boolean;
}

interface Row {
  readonly name: string;
  /** "key[,key]/asc ascq" in hexadecimal; x: any digit. */
  readonly senses: readonly string[];
  readonly tapeAlerts: readonly number[];
  readonly meaning: string;
  readonly blame: Blame;
  readonly act: Act;
}

/** First match wins; the general rows come last. */
// biome-ignore format: a table
const ROWS: readonly Row[] = [
  { name: "endOfMedium", senses: ["D/0002", "0/0002", "D/xxxx"], tapeAlerts: [], blame: "endOfMedium", act: "endOfMedium", meaning: "end of medium" },
  { name: "protectedByTape", senses: ["3/8501"], tapeAlerts: [], blame: "cartridge", act: "replaceCartridge", meaning: "write-protected because the tape is failing" },
  { name: "protectedByDrive", senses: ["3/8502"], tapeAlerts: [], blame: "drive", act: "replaceDrive", meaning: "write-protected because the drive is failing" },
  { name: "cartridge", senses: ["3/1100", "3/1403", "3/3100", "3/3300", "3/5100", "3/5200"], tapeAlerts: [4, 7, 8, 13, 14, 15, 18], blame: "cartridge", act: "replaceCartridge", meaning: "cartridge unreadable, corrupt, snapped, or its chip failed" },
  { name: "cleaningCartridge", senses: ["2,3/3003", "2,3/3007"], tapeAlerts: [11, 22, 23], blame: "cartridge", act: "neverData", meaning: "a cleaning cartridge where data belongs" },
  { name: "mechanism", senses: ["3,4/53xx", "4/5200"], tapeAlerts: [16], blame: "mechanism", act: "otherDriveOnce", meaning: "load, thread or eject failed" },
  { name: "hardware", senses: ["4/40xx", "4/41xx", "4/44xx", "4/4C00", "4/1501", "4/0801", "4/0900", "4/3B08", "4/xxxx"], tapeAlerts: [30, 31], blame: "drive", act: "replaceDrive", meaning: "hardware error of the drive" },
  { name: "cleanNow", senses: [], tapeAlerts: [20], blame: "cleaning", act: "cleanNow", meaning: "the drive wants cleaning now" },
  { name: "writeError", senses: ["3/0C00", "3/0302", "3/0900", "3/5000"], tapeAlerts: [6], blame: "unclear", act: "otherDrive", meaning: "write or servo error" },
  { name: "cleanSoon", senses: ["0,1,2/0017"], tapeAlerts: [21], blame: "cleaning", act: "cleanAfterJob", meaning: "the drive wants cleaning" },
  { name: "writeProtected", senses: ["7/2700", "7/xxxx"], tapeAlerts: [9], blame: "state", act: "writeProtected", meaning: "the cartridge is write-protected" },
  { name: "becomingReady", senses: ["2/0401", "2/0407"], tapeAlerts: [], blame: "wait", act: "waitUntilReady", meaning: "becoming ready" },
  { name: "mediumGone", senses: ["2/3Axx"], tapeAlerts: [], blame: "state", act: "readElements", meaning: "the medium is gone in the middle of a job" },
  { name: "reset", senses: ["6/29xx", "6/2800", "6/3F01", "6/xxxx"], tapeAlerts: [], blame: "state", act: "readPosition", meaning: "reset, medium change or new microcode: position lost" },
  { name: "unitGone", senses: ["5/25xx"], tapeAlerts: [], blame: "path", act: "replaceDrive", meaning: "the drive is gone from its target: no such logical unit" },
  { name: "path", senses: ["B/4xxx", "B/xxxx"], tapeAlerts: [], blame: "path", act: "otherDrive", meaning: "path or drive: position unknown" },
  { name: "recovered", senses: ["1/xxxx"], tapeAlerts: [1, 2, 3, 19], blame: "recovered", act: "score", meaning: "recovered error, or a failure predicted" },
  { name: "notReady", senses: ["2/xxxx"], tapeAlerts: [], blame: "unclear", act: "otherDrive", meaning: "not ready" },
  { name: "medium", senses: ["3/xxxx", "8/xxxx"], tapeAlerts: [], blame: "unclear", act: "otherDrive", meaning: "medium error" },
  { name: "odd", senses: ["x/xxxx"], tapeAlerts: [], blame: "unclear", act: "otherDrive", meaning: "an answer that fits no rule" },
];

const UNREACHABLE: Row = {
  name: "unreachable",
  senses: [],
  tapeAlerts: [],
  blame: "path",
  act: "otherDrive",
  meaning: "the drive does not answer: path or drive, position unknown",
};

const NO_EVIDENCE: Row = {
  ...UNREACHABLE,
  name: "noEvidence",
  blame: "unclear",
  meaning: "failed without a word",
};

/** "3,4/53xx" as a test; compiled once. */
function pattern(text: string): RegExp {
  const [keys = "", code = ""] = text.split("/");
  const key = keys === "x" ? "." : `[${keys.replaceAll(",", "")}]`;
  return new RegExp(`^${key}/${code.replaceAll("x", ".")}$`);
}

const COMPILED = ROWS.map((row) => ({ row, patterns: row.senses.map(pattern) }));

const hex = (value: number, digits: number) => value.toString(16).toUpperCase().padStart(digits, "0");

/** "3/0C00". */
export function senseWord(sense: SenseCode): string {
  return `${hex(sense.key, 1)}/${hex(sense.asc, 2)}${hex(sense.ascq, 2)}`;
}

function rowOfSense(sense: SenseCode): Row {
  const word = senseWord(sense);
  return COMPILED.find(({ patterns }) => patterns.some((one) => one.test(word)))?.row ?? NO_EVIDENCE;
}

function rowOfAlerts(alerts: readonly number[]): Row | undefined {
  return ROWS.find((row) => row.tapeAlerts.some((alert) => alerts.includes(alert)));
}

/** What a backup server is told of the flags of a drive that has not failed: all that is of the medium, the job or cleaning.
 *  A failing mechanism is ours to mend. */
export function alertsForHost(alerts: readonly number[]): number[] {
  return alerts.filter((alert) => {
    const blame = rowOfAlerts([alert])?.blame;
    return blame !== "drive" && blame !== "mechanism";
  });
}

const SPEAKS_PLAINLY: ReadonlySet<Blame> = new Set(["drive", "cartridge", "mechanism", "cleaning"]);

function rowOf(evidence: FaultEvidence): Row {
  const byAlert = rowOfAlerts(evidence.tapeAlerts);
  if (evidence.sense === null) {
    if (byAlert !== undefined && SPEAKS_PLAINLY.has(byAlert.blame)) return byAlert;
    if (evidence.unreachable || evidence.timedOut) return UNREACHABLE;
    return byAlert ?? NO_EVIDENCE;
  }
  const bySense = rowOfSense(evidence.sense);
  if (bySense.blame === "unclear" && byAlert !== undefined && SPEAKS_PLAINLY.has(byAlert.blame))
    return byAlert;
  return bySense;
}

/** Drives that may die on one cartridge, each for a plain reason of its own, before the cartridge is suspected. */
const DRIVES_DEAD_ON_CARTRIDGE_MAX = 3;

export function classify(evidence: FaultEvidence): Verdict {
  const row = rowOf(evidence);
  const verdict = (blame: Blame, act: Act, meaning: string, overruled: boolean): Verdict => ({
    blame,
    act,
    meaning,
    row: row.name,
    overruled,
  });
  const { otherDrivesOnCartridge, drivesDeadOnCartridge, otherCartridgesInDrive } = evidence.scores;
  const mayBeCartridge = row.blame === "unclear" || row.blame === "mechanism";
  if (otherCartridgesInDrive > 0 && (mayBeCartridge || row.act === "replaceCartridge"))
    return verdict("drive", "replaceDrive", `${row.meaning}; another cartridge failed in this drive`, true);
  if (otherDrivesOnCartridge > 0 && mayBeCartridge)
    return verdict("cartridge", "replaceCartridge", `${row.meaning}; it failed in another drive too`, true);
  if (drivesDeadOnCartridge + 1 >= DRIVES_DEAD_ON_CARTRIDGE_MAX && (mayBeCartridge || row.blame === "drive"))
    return verdict(
      "cartridge",
      "replaceCartridge",
      `${row.meaning}; one drive after another dies of it`,
      true,
    );
  return verdict(row.blame, row.act, row.meaning, false);
}
