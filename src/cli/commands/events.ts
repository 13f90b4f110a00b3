/** @module `understudy events`: what happened, and with --follow what happens. */
import { type Command, InvalidArgumentError, Option } from "commander";
import type { HouseEvent } from "../../base/events.ts";
import { type ClientOptions, clientOf } from "../client.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { timeText, toned } from "../table.ts";

interface EventsOptions extends ClientOptions {
  follow?: true;
  json?: true;
  limit: number;
}

function limitArgument(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > 1000) {
    throw new InvalidArgumentError("expected a number from 1 to 1000");
  }
  return value;
}

export function addEvents(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("events")
    .description("what happened: every change of state with its evidence")
    .option("-f, --follow", "go on as they happen")
    .addOption(new Option("-n, --limit <count>", "the newest so many").argParser(limitArgument).default(50))
    .option("--json", "one JSON object a line")
    .option("--http <url>", "the server's API")
    .action(async (options: EventsOptions) => finish(await events(ports, options)));
}

async function events(ports: CliPorts, options: EventsOptions): Promise<number> {
  const { console: io } = ports;
  const client = clientOf(ports, options);
  const show = (event: HouseEvent) =>
    io.out(options.json === true ? `${JSON.stringify(event)}\n` : eventText(event, io.terminal));
  const past = await client.events(null, options.limit);
  for (const event of past) show(event);
  if (options.follow !== true) return EXIT.done;
  const stop = new AbortController();
  const unlisten = io.onStopSignal(() => stop.abort());
  try {
    for await (const event of client.follow(past.at(-1)?.id ?? 0, stop.signal)) show(event);
    return EXIT.done;
  } finally {
    unlisten();
  }
}

export function eventText(event: HouseEvent, terminal: boolean): string {
  const text = `${event.transition}: ${event.text}`;
  const shown =
    event.severity === "info"
      ? text
      : toned(text, event.severity === "alarm" ? "alarm" : "warning", terminal);
  return `${timeText(event.atMs)}  ${(event.device ?? event.kind).padEnd(10)}  ${shown}\n`;
}
