/** @module Messages for whoever runs the program, to standard error: one JSON object a line, or human text.
 *  Standard output belongs to the commands' own answers. Written synchronously, so that a Worker that loops in FFI
 *  loses none, and each thread starts its own (`startLog`). Events (base/events.ts) are something else: they are kept. */
import { writeSync } from "node:fs";
import { configureSync, getLogger, type LogRecord, resetSync } from "@logtape/logtape";

export const LOG_LEVELS = ["debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];
export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

export interface LogOptions {
  readonly level: LogLevel;
  readonly format: LogFormat;
  /** Names the thread in JSON lines: "main", "front", "drive 2" ... */
  readonly thread: string;
  /** For tests; default: standard error. */
  readonly write?: (line: string) => void;
}

export type LogFields = Readonly<Record<string, unknown>>;

/** What a floor needs in order to speak. */
export interface Log {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warning(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
}

const HOUSE = "understudy";

function writeToStandardError(line: string): void {
  try {
    writeSync(2, line);
  } catch {
    // A closed or full pipe must not end the tee: the message is lost, the data is not.
  }
}

function messageOf(record: LogRecord): string {
  return record.message.map(String).join("");
}

function plain(value: unknown): unknown {
  if (value instanceof Error) return value.message;
  if (typeof value === "bigint") return value.toString();
  return value;
}

function asJson(record: LogRecord, thread: string): string {
  const fields = Object.fromEntries(
    Object.entries(record.properties).map(([key, value]) => [key, plain(value)]),
  );
  return `${JSON.stringify({
    ...fields,
    at: new Date(record.timestamp).toISOString(),
    level: record.level,
    thread,
    area: record.category.slice(1).join("."),
    message: messageOf(record),
  })}\n`;
}

function asText(record: LogRecord): string {
  const fields = Object.entries(record.properties)
    .map(([key, value]) => {
      const shown = plain(value);
      return ` ${key}=${typeof shown === "string" ? shown : JSON.stringify(shown)}`;
    })
    .join("");
  const level = record.level === "info" ? "" : `${record.level}: `;
  const time = new Date(record.timestamp).toISOString().slice(11, 23);
  return `${time} ${record.category.slice(1).join(".")}: ${level}${messageOf(record)}${fields}\n`;
}

/** Starts messages in this thread; may be called again. Before it, messages go nowhere. */
export function startLog(options: LogOptions): void {
  const write = options.write ?? writeToStandardError;
  const format = options.format === "json" ? (record: LogRecord) => asJson(record, options.thread) : asText;
  resetSync();
  configureSync({
    reset: true,
    sinks: { out: (record) => write(format(record)) },
    loggers: [
      { category: HOUSE, lowestLevel: options.level, sinks: ["out"] },
      { category: ["logtape", "meta"], lowestLevel: "error", sinks: [] },
    ],
  });
}

/** The voice of one area, as "director" or "http". */
export function logOf(area: string): Log {
  const logger = getLogger([HOUSE, area]);
  // Braces in a message are no placeholders here: the message goes as one piece, the fields beside it.
  const say = (level: LogLevel) => (message: string, fields?: LogFields) =>
    logger[level](message.replaceAll("{", "{{").replaceAll("}", "}}"), { ...fields });
  return { debug: say("debug"), info: say("info"), warning: say("warning"), error: say("error") };
}
