/** @module When a backup is due, and of which level (29-34).
 *
 *  Each level has slots on the wall clock of a time zone; from a slot to the next is its period, which wants one backup
 *  of that level or a higher one.
 *  (1) Where several levels are due, the highest is made and does for all. However many slots were missed while the
 *      machine was off, one backup catches up.
 *  (2) Daylight saving: a time of day that the clock skips is taken as much later as the clock jumped; one that comes
 *      twice counts once, at its first coming. Micros go by elapsed time from local midnight, so a day of 23 hours has 92
 *      quarters and one of 25 has 100.
 *  (3) A clock set back does no harm: which backup is the newest goes by number; a backup made for a slot is not made
 *      again when the slot comes again; micros go on at once; and a backup from a far future that never was counts for
 *      no slot before it.
 *  (4) No clock is read here: the caller passes the time. */
import { assert, present } from "../base/assert.ts";
import { LEVELS, type Level, type Node } from "./tree.ts";

export const FULL_INTERVALS = ["28days", "fortnight", "month", "quarter"] as const;
export type FullInterval = (typeof FULL_INTERVALS)[number];

/** Times of day as "HH:MM", on the wall clock of the zone. */
export interface ScheduleSettings {
  /** An IANA name, as "Europe/Berlin". */
  readonly timeZone: string;
  readonly full: {
    readonly every: FullInterval;
    /** Day 0 of 28 days and of fortnights, "YYYY-MM-DD"; its month begins the quarters. null: the day of the last full
     *  (quarters: from January). */
    readonly anchorDate: string | null;
    /** Of months and quarters, 1 to 31: the last day where a month is shorter. */
    readonly dayOfMonth: number;
    readonly time: string;
  };
  /** null: this level is not made. */
  readonly weekly: {
    /** 1 (Monday) to 7; null: every seventh day after a full. */
    readonly weekday: number | null;
    readonly time: string;
  } | null;
  readonly daily: { readonly time: string } | null;
  readonly micro: { readonly intervalMinutes: number } | null;
}

/** Works as it is: the notional month of 28 days from the first backup on, a quarter of an hour between micros. */
export const DEFAULT_SCHEDULE: ScheduleSettings = {
  timeZone: "UTC",
  full: { every: "28days", anchorDate: null, dayOfMonth: 1, time: "00:00" },
  weekly: { weekday: null, time: "00:00" },
  daily: { time: "00:00" },
  micro: { intervalMinutes: 15 },
};

/** A backup that was made, though it may have been pared since. A history wants at least the newest of each level. */
export type Made = Pick<Node, "number" | "level" | "atMs">;

export interface Due {
  readonly level: Level;
  /** The slot that wants it: at or before now, earlier if it was missed. */
  readonly slotMs: number;
}

export interface NextDue {
  readonly level: Level;
  /** Now, if one is due now. */
  readonly atMs: number;
}

/** From a slot to before the next. */
interface Period {
  readonly startMs: number;
  readonly endMs: number;
}

/** From a slot's day to the next one's. */
interface Days {
  readonly first: Temporal.PlainDate;
  readonly next: Temporal.PlainDate;
}

const TIME_OF_DAY = /^([01]\d|2[0-3]):[0-5]\d$/;
const DAYS_OF: Partial<Record<FullInterval, number>> = { "28days": 28, fortnight: 14 };
const MONTHS_OF: Partial<Record<FullInterval, number>> = { month: 1, quarter: 3 };
const WEEK_DAYS = 7;
const MINUTE_MS = 60_000;
const MINUTES_A_DAY = 24 * 60;
/** A slot ahead may have its backup already, where the clock was set back: one for each level, and some to spare. */
const STEPS_MAX = 1000;

/** What is wrong with settings, one sentence each; the functions below want none. */
export function scheduleFaults(settings: ScheduleSettings): string[] {
  const { timeZone, full, weekly, daily, micro } = settings;
  const faults: string[] = [];
  const want = (holds: boolean, fault: string) => {
    if (!holds) faults.push(fault);
  };
  const inRange = (value: number, min: number, max: number) =>
    Number.isInteger(value) && value >= min && value <= max;
  want(isTimeZone(timeZone), `timeZone: expected an IANA name, as Europe/Berlin, not "${timeZone}"`);
  for (const [name, time] of [
    ["full", full.time],
    ["weekly", weekly?.time],
    ["daily", daily?.time],
  ] as const) {
    if (time !== undefined)
      want(TIME_OF_DAY.test(time), `${name}.time: expected HH:MM, as 23:30, not "${time}"`);
  }
  if (full.anchorDate !== null) {
    want(isDate(full.anchorDate), `full.anchorDate: expected YYYY-MM-DD, not "${full.anchorDate}"`);
  }
  want(inRange(full.dayOfMonth, 1, 31), "full.dayOfMonth: expected 1 to 31");
  want(
    (weekly?.weekday ?? null) === null || inRange(weekly?.weekday ?? 0, 1, 7),
    "weekly.weekday: expected 1 to 7",
  );
  want(
    micro === null || inRange(micro.intervalMinutes, 1, MINUTES_A_DAY),
    `micro.intervalMinutes: expected 1 to ${MINUTES_A_DAY}`,
  );
  return faults;
}

function isTimeZone(name: string): boolean {
  try {
    Temporal.Instant.fromEpochMilliseconds(0).toZonedDateTimeISO(name);
    return true;
  } catch {
    return false;
  }
}

function isDate(text: string): boolean {
  try {
    return Temporal.PlainDate.from(text, { overflow: "reject" }).toString() === text;
  } catch {
    return false;
  }
}

/** What is to be made now; null: nothing. `history` in any order. A store without a full wants one at once. */
export function due(settings: ScheduleSettings, history: readonly Made[], nowMs: number): Due | null {
  const newest = newestOf(history);
  const calendar = new Calendar(settings, newestOf(history, "monthly"));
  if (newestOf(history, "monthly") === null) {
    return { level: "monthly", slotMs: calendar.period("monthly", nowMs)?.startMs ?? nowMs };
  }
  for (const level of LEVELS) {
    const period = calendar.period(level, nowMs);
    if (period === null) continue;
    // After the clock was set back, micros of the time that comes again say nothing about now.
    const counts = level === "micro" ? [present(newest, "a newest backup")] : history;
    if (!counts.some((made) => doesFor(level, made) && isWithin(period, made.atMs))) {
      return { level, slotMs: period.startMs };
    }
  }
  return null;
}

/** When the next one is due, and of which level. */
export function next(settings: ScheduleSettings, history: readonly Made[], nowMs: number): NextDue {
  const calendar = new Calendar(settings, newestOf(history, "monthly"));
  let atMs = nowMs;
  for (let step = 0; step < STEPS_MAX; step++) {
    const found = due(settings, history, atMs);
    if (found !== null) return { level: found.level, atMs };
    const ends = LEVELS.map((level) => calendar.period(level, atMs)?.endMs ?? Number.POSITIVE_INFINITY);
    const nextMs = Math.min(...ends);
    assert(nextMs > atMs && Number.isFinite(nextMs), "slots follow each other");
    atMs = nextMs;
  }
  return { level: "micro", atMs };
}

function newestOf(history: readonly Made[], level: Level | null = null): Made | null {
  let newest: Made | null = null;
  for (const made of history) {
    if (level !== null && made.level !== level) continue;
    if (newest === null || made.number > newest.number) newest = made;
  }
  return newest;
}

/** A higher level does for a lower one. */
function doesFor(level: Level, made: Made): boolean {
  return LEVELS.indexOf(made.level) <= LEVELS.indexOf(level);
}

function isWithin({ startMs, endMs }: Period, atMs: number): boolean {
  return atMs >= startMs && atMs < endMs;
}

/** The slots of each level, for one state of the history. */
class Calendar {
  readonly #settings: ScheduleSettings;
  readonly #fullTime: Temporal.PlainTime;
  readonly #anchor: Temporal.PlainDate;

  constructor(settings: ScheduleSettings, lastFull: Made | null) {
    const { anchorDate, time } = settings.full;
    this.#settings = settings;
    this.#fullTime = Temporal.PlainTime.from(time);
    this.#anchor =
      anchorDate === null
        ? this.#slotDate(lastFull?.atMs ?? 0, this.#fullTime)
        : Temporal.PlainDate.from(anchorDate);
  }

  /** The one that `atMs` falls into; null: the level is not made. */
  period(level: Level, atMs: number): Period | null {
    const { weekly, daily, micro } = this.#settings;
    if (level === "monthly") return this.#between(this.#fullDays(atMs), this.#fullTime);
    if (level === "weekly") return weekly && this.#weekly(atMs, weekly.weekday, weekly.time);
    if (level === "daily") return daily && this.#daily(atMs, daily.time);
    return micro && this.#micro(atMs, micro.intervalMinutes * MINUTE_MS);
  }

  #local(atMs: number): Temporal.ZonedDateTime {
    return Temporal.Instant.fromEpochMilliseconds(atMs).toZonedDateTimeISO(this.#settings.timeZone);
  }

  #slotMs(date: Temporal.PlainDate, plainTime: Temporal.PlainTime): number {
    return date.toZonedDateTime({ timeZone: this.#settings.timeZone, plainTime }).epochMilliseconds;
  }

  /** The last day whose time of day has come. */
  #slotDate(atMs: number, time: Temporal.PlainTime): Temporal.PlainDate {
    const today = this.#local(atMs).toPlainDate();
    return this.#slotMs(today, time) <= atMs ? today : today.subtract({ days: 1 });
  }

  #between({ first, next }: Days, time: Temporal.PlainTime): Period {
    return { startMs: this.#slotMs(first, time), endMs: this.#slotMs(next, time) };
  }

  #daily(atMs: number, time: string): Period {
    const plainTime = Temporal.PlainTime.from(time);
    const first = this.#slotDate(atMs, plainTime);
    return this.#between({ first, next: first.add({ days: 1 }) }, plainTime);
  }

  #fullDays(atMs: number): Days {
    const { every } = this.#settings.full;
    const today = this.#slotDate(atMs, this.#fullTime);
    const days = DAYS_OF[every];
    return days === undefined
      ? this.#calendarMonths(today, present(MONTHS_OF[every], "months of an interval"))
      : everyDays(this.#anchor, today, days);
  }

  #calendarMonths(today: Temporal.PlainDate, months: number): Days {
    const { anchorDate, dayOfMonth } = this.#settings.full;
    const offset = anchorDate === null ? 0 : this.#anchor.month - 1;
    const dayIn = (month: number) =>
      new Temporal.PlainDate(Math.floor(month / 12), (month % 12) + 1, 1).with({ day: dayOfMonth });
    const thisMonth = today.year * 12 + today.month - 1;
    let month = Math.floor((thisMonth - offset) / months) * months + offset;
    if (Temporal.PlainDate.compare(dayIn(month), today) > 0) month -= months;
    return { first: dayIn(month), next: dayIn(month + months) };
  }

  #weekly(atMs: number, weekday: number | null, time: string): Period {
    const plainTime = Temporal.PlainTime.from(time);
    const today = this.#slotDate(atMs, plainTime);
    if (weekday !== null) {
      const first = today.subtract({ days: (today.dayOfWeek - weekday + WEEK_DAYS) % WEEK_DAYS });
      return this.#between({ first, next: first.add({ days: WEEK_DAYS }) }, plainTime);
    }
    // A full stands for the weekly of its own day, whatever the hours of both.
    const fullDays = this.#fullDays(atMs);
    const full = this.#between(fullDays, this.#fullTime);
    const lastDay = fullDays.next.subtract({ days: 1 });
    const day = Temporal.PlainDate.compare(today, lastDay) < 0 ? today : lastDay;
    const { first, next } = everyDays(fullDays.first, day, WEEK_DAYS);
    const isFirst = Temporal.PlainDate.compare(first, fullDays.first) <= 0;
    const endDate = isFirst ? fullDays.first.add({ days: WEEK_DAYS }) : next;
    const isLast = Temporal.PlainDate.compare(endDate, fullDays.next) >= 0;
    return {
      startMs: isFirst ? full.startMs : this.#slotMs(first, plainTime),
      endMs: isLast ? full.endMs : this.#slotMs(endDate, plainTime),
    };
  }

  #micro(atMs: number, intervalMs: number): Period {
    const day = this.#local(atMs).startOfDay();
    const dayMs = day.epochMilliseconds;
    const startMs = dayMs + Math.floor((atMs - dayMs) / intervalMs) * intervalMs;
    return {
      startMs,
      endMs: Math.min(startMs + intervalMs, day.add({ days: 1 }).startOfDay().epochMilliseconds),
    };
  }
}

function everyDays(anchor: Temporal.PlainDate, today: Temporal.PlainDate, days: number): Days {
  const past = anchor.until(today, { largestUnit: "days" }).days;
  const first = anchor.add({ days: Math.floor(past / days) * days });
  return { first, next: first.add({ days }) };
}
