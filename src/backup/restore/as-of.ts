/** @module Which backup is meant: a number, `latest`, or the newest one of a time. Pure.
 *  A time names all of the unit that it is given in: "13:15" is the whole minute, "2026-11-20" the whole day, so that a
 *  backup which began at 13:15:02 is the one of 13:15. */

/** The last millisecond that the text names, since 1970; null: not a time. Without a zone it is the local one. */
export function parseAsOf(text: string): number | null {
  const parts =
    /^(\d{4})-(\d\d)-(\d\d)(?:[Tt ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)? ?(Z|z|UTC|[+-]\d\d:?\d\d)?$/.exec(
      text.trim(),
    );
  if (parts === null) return null;
  const [, year, month, day, hour, minute, second, fraction, zone] = parts;
  const numbers = [year, month, day, hour ?? "0", minute ?? "0", second ?? "0"].map(Number);
  const [y = 0, mo = 0, d = 0, h = 0, mi = 0, s = 0] = numbers;
  if (mo < 1 || mo > 12 || d < 1 || d > 31 || h > 24 || mi > 59 || s > 60) return null;
  const ms = fraction === undefined ? 0 : Math.floor(Number(`0.${fraction}`) * 1000);
  const unitMs =
    hour === undefined
      ? 86_400_000
      : second === undefined
        ? 60_000
        : fraction === undefined
          ? 1000
          : 10 ** Math.max(0, 3 - fraction.length);
  const startMs =
    zone === undefined
      ? new Date(y, mo - 1, d, h, mi, s, ms).getTime()
      : Date.UTC(y, mo - 1, d, h, mi, s, ms) - offsetMs(zone);
  // 31 February and the like: the calendar would count on.
  const check = new Date(Date.UTC(y, mo - 1, d));
  if (check.getUTCMonth() !== mo - 1 || check.getUTCDate() !== d) return null;
  return startMs + unitMs - 1;
}

function offsetMs(zone: string): number {
  const parts = /^([+-])(\d\d):?(\d\d)$/.exec(zone);
  if (parts === null) return 0;
  const minutes = Number(parts[2]) * 60 + Number(parts[3]);
  return (parts[1] === "-" ? -minutes : minutes) * 60_000;
}

export interface Dated {
  readonly number: number;
  /** When it began to read, in ms since 1970. */
  readonly startedMs: number;
}

export type Choice<T> =
  | { readonly kind: "chosen"; readonly backup: T }
  | { readonly kind: "none"; readonly text: string };

/** `which`: a number or "latest"; `asOfMs` narrows "latest" to those that began by then. */
export function chooseBackup<T extends Dated>(
  backups: readonly T[],
  which: string,
  asOfMs: number | null,
): Choice<T> {
  if (backups.length === 0) return { kind: "none", text: "the store holds no backup yet" };
  if (which !== "latest") {
    const number = /^\d{1,15}$/.test(which) ? Number(which) : Number.NaN;
    const backup = backups.find((candidate) => candidate.number === number);
    if (backup !== undefined) return { kind: "chosen", backup };
    const [first, last] = [backups.at(0)?.number, backups.at(-1)?.number];
    const known = first === last ? `${first}` : `${first} to ${last}`;
    return {
      kind: "none",
      text: `no backup ${which} in this store (there are ${known}; \`list\` shows them)`,
    };
  }
  // Without a time the number decides: clocks are set back now and then.
  const isNewer = (a: T, b: T) =>
    asOfMs === null || a.startedMs === b.startedMs ? a.number > b.number : a.startedMs > b.startedMs;
  let newest: T | null = null;
  for (const candidate of backups) {
    if (asOfMs !== null && candidate.startedMs > asOfMs) continue;
    if (newest === null || isNewer(candidate, newest)) newest = candidate;
  }
  if (newest !== null) return { kind: "chosen", backup: newest };
  const oldest = backups.reduce((a, b) => (b.startedMs < a.startedMs ? b : a));
  return {
    kind: "none",
    text: `no backup is that old: the oldest is ${oldest.number} of ${new Date(oldest.startedMs).toISOString()}`,
  };
}
