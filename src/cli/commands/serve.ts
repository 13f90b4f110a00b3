/** @module `understudy serve`: the server, until it is told to stop. The first Ctrl-C or SIGTERM drains and stops; the
 *  second quits at once and says what is not on tape. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes, formatCount } from "../../base/units.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts, Endpoint, ReadyFacts, RunningServer, StopReport } from "../ports.ts";
import { bold, table } from "../table.ts";

interface ServeOptions {
  config?: string;
  state?: string;
  iscsi?: Endpoint;
  http?: Endpoint;
  json?: true;
}

/** "127.0.0.1:3260", "[::1]:3260", "3260". */
export function parseEndpoint(text: string): Endpoint {
  const match = /^(?:(\[[0-9a-fA-F:]+\]|[^:\s]+):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2]);
  if (match === null || port > 65535) {
    throw new InvalidArgumentError("expected HOST:PORT, as 127.0.0.1:3260");
  }
  return { host: (match[1] ?? "127.0.0.1").replace(/^\[|\]$/g, ""), port };
}

export function endpointText({ host, port }: Endpoint): string {
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}

export function addServe(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("serve")
    .description("serve the library over iSCSI; without a configuration: an embedded file library")
    .addOption(new Option("-c, --config <file>", "settings, as understudy.toml"))
    .option("--state <dir>", "state directory (default: /var/lib/understudy for root, else below your home)")
    .addOption(new Option("--iscsi <host:port>", "where initiators connect").argParser(parseEndpoint))
    .addOption(new Option("--http <host:port>", "where the API listens").argParser(parseEndpoint))
    .option("--json", "messages, and the facts once ready, as JSON lines")
    .action(async (options: ServeOptions) => finish(await serve(ports, options)));
}

async function serve(ports: CliPorts, options: ServeOptions): Promise<number> {
  const { console: io } = ports;
  const json = options.json === true;
  const stop = Promise.withResolvers<void>();
  const quit = Promise.withResolvers<void>();
  let signals = 0;
  const unlisten = io.onStopSignal(() => {
    signals++;
    (signals === 1 ? stop : quit).resolve();
  });
  try {
    const outcome = await ports.startServer({
      configFile: options.config ?? null,
      stateDirectory: options.state ?? null,
      iscsi: options.iscsi ?? null,
      http: options.http ?? null,
      json,
    });
    if (outcome.kind === "misconfigured") {
      for (const line of outcome.lines) io.err(`${line}\n`);
      return EXIT.misused;
    }
    if (outcome.kind === "refused") throw new CommandFailure(EXIT.refused, outcome.text);
    const { server } = outcome;
    io.out(
      json
        ? `${JSON.stringify({ event: "ready", ...server.ready })}\n`
        : readyText(server.ready, io.terminal),
    );
    const end = await Promise.race([stop.promise, server.failed]);
    if (typeof end === "string") throw new CommandFailure(EXIT.failed, end);
    return await drain(ports, server, quit.promise, json);
  } finally {
    unlisten();
  }
}

async function drain(
  ports: CliPorts,
  server: RunningServer,
  quit: Promise<void>,
  json: boolean,
): Promise<number> {
  const { console: io } = ports;
  if (!json)
    io.err("understudy: writing what is not on tape yet, then stopping (once more to quit at once)\n");
  const left = await Promise.race([
    server.drainAndStop(),
    quit.then(() => server.notOnTape()),
    server.failed.then(() => server.notOnTape()),
  ]);
  const owed = left.filter((report) => report.bytesNotOnTape > 0 || report.blocksNotOnTape > 0);
  if (json) io.out(`${JSON.stringify({ event: "stopped", notOnTape: owed })}\n`);
  else for (const report of owed) io.err(`understudy: ${stopText(report)}\n`);
  return owed.length > 0 ? EXIT.notOnTape : EXIT.done;
}

function stopText(report: StopReport): string {
  const blocks = formatCount(report.blocksNotOnTape);
  return `${report.device}: ${blocks} blocks (${formatBytes(report.bytesNotOnTape)}) are not on tape; what the cache holds is written at the next start`;
}

/** What an operator needs in order to begin. Device names follow udev's rule: by the unit's serial number. */
export function readyText(ready: ReadyFacts, terminal: boolean): string {
  const heading = (text: string) => (terminal ? bold(text) : text);
  const portal = endpointText(ready.iscsi);
  const units = table(
    [{ heading: "LUN", align: "right" }, { heading: "what" }, { heading: "name" }, { heading: "serial" }],
    ready.units.map((unit) => [String(unit.lun), unit.kind, unit.name, unit.serial]),
    terminal,
  );
  const changer = ready.units.find((unit) => unit.kind === "changer");
  const drive = ready.units.find((unit) => unit.kind === "drive");
  const lines = [
    `iscsiadm -m discovery -t sendtargets -p ${portal}`,
    `iscsiadm -m node -T ${ready.targetName} -p ${portal} --login`,
  ];
  if (changer !== undefined) {
    lines.push(`mtx -f /dev/tape/by-id/scsi-${changer.serial} status`);
    lines.push(`mtx -f /dev/tape/by-id/scsi-${changer.serial} load 1 0`);
  }
  if (drive !== undefined) lines.push(`mt -f /dev/tape/by-id/scsi-${drive.serial}-nst status`);
  const shownBarcodes = ready.barcodes.slice(0, 8).join(" ");
  const more = ready.barcodes.length > 8 ? ` and ${ready.barcodes.length - 8} more` : "";
  return [
    heading(`understudy ${ready.version} is ready`),
    `  target      ${ready.targetName}`,
    `  iSCSI       ${portal}`,
    `  API         ${ready.httpUrl}`,
    `  state       ${ready.stateDirectory}`,
    `  cartridges  ${shownBarcodes}${more}`,
    "",
    indented(units),
    heading("On the backup server:"),
    ...lines.map((line) => `  ${line}`),
    "",
    ...ready.notes.map((note) => `Note: ${note}`),
    "Ctrl-C drains and stops.",
    "",
  ].join("\n");
}

function indented(text: string): string {
  return text.replace(/^(?=.)/gm, "  ");
}
