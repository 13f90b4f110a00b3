/** @module `understudy status`: which real drive stands behind which virtual one, how far the data has come, and what
 *  is to be done in the morning. */
import type { Command } from "commander";
import type { DeviceStatus, Status } from "../../base/status.ts";
import { formatBytes, formatCount, formatDuration, formatRate } from "../../base/units.ts";
import { type ClientOptions, clientOf } from "../client.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { bold, type Tone, table, timeText, toned } from "../table.ts";

export function addStatus(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("status")
    .description("devices, drives, how far the data has come, what is to be done in the morning")
    .option("--json", "the whole document as JSON")
    .option("--http <url>", "the server's API")
    .action(async (options: ClientOptions & { json?: true }) => {
      const status = await clientOf(ports, options).status();
      const { out, terminal } = ports.console;
      out(options.json === true ? `${JSON.stringify(status, null, 2)}\n` : statusText(status, terminal));
      finish(EXIT.done);
    });
}

const STATE_TONES: Readonly<Record<DeviceStatus["state"], Tone>> = {
  Streaming: "good",
  Classifying: "warning",
  Choosing: "warning",
  Switching: "warning",
  Verifying: "warning",
  Replaying: "warning",
  Halted: "alarm",
};

export function statusText(status: Status, terminal: boolean): string {
  const heading = (text: string) => (terminal ? bold(text) : text);
  const parts = [
    `${heading(`understudy ${status.version}: ${status.state}`)}, up ${formatDuration(status.atMs - status.startedMs)}, ` +
      `${status.iscsi.targetName} at ${status.iscsi.host}:${status.iscsi.port}\n`,
    deviceTable(status, terminal),
    markTable(status, terminal),
    driveTable(status, terminal),
  ];
  if (status.sessions.length > 0) {
    parts.push(
      table(
        [{ heading: "session" }, { heading: "initiator" }, { heading: "from" }, { heading: "since" }],
        status.sessions.map((session) => [
          String(session.id),
          session.initiatorName,
          session.address,
          timeText(session.sinceMs),
        ]),
        terminal,
      ),
    );
  }
  parts.push(morningText(status, terminal));
  return parts.join("\n");
}

function deviceTable(status: Status, terminal: boolean): string {
  return table(
    [
      { heading: "device" },
      { heading: "LUN", align: "right" },
      { heading: "state" },
      { heading: "serial" },
      { heading: "real drive" },
      { heading: "cartridge" },
      { heading: "cache" },
      { heading: "host", align: "right" },
      { heading: "drive", align: "right" },
    ],
    status.devices.map((device) => [
      device.name,
      String(device.lun),
      toned(device.state, STATE_TONES[device.state], terminal) +
        (device.reason === null ? "" : ` (${device.reason})`),
      device.serial,
      device.drive === null ? "none" : `${device.drive.id} (${device.drive.serial})`,
      device.cartridge === null ? "empty" : device.cartridge.barcode,
      device.cache.state,
      formatRate(device.rates.host),
      formatRate(device.rates.drive),
    ]),
    terminal,
  );
}

function markTable(status: Status, terminal: boolean): string {
  const mark = ({ bytes, blocks }: DeviceStatus["marks"]["received"]) =>
    `${formatBytes(bytes)} / ${formatCount(blocks)}`;
  return table(
    [
      { heading: "bytes / blocks" },
      { heading: "received", align: "right" },
      { heading: "cached", align: "right" },
      { heading: "on tape", align: "right" },
      { heading: "filemarks owed", align: "right" },
      { heading: "protects from loss of" },
    ],
    status.devices.map((device) => [
      device.name,
      mark(device.marks.received),
      mark(device.marks.cached),
      mark(device.marks.onTape),
      formatCount(device.owedFilemarks),
      [device.protects.drive ? "drive" : "", device.protects.cartridge ? "cartridge" : ""]
        .filter((word) => word !== "")
        .join(", ") || "nothing",
    ]),
    terminal,
  );
}

function driveTable(status: Status, terminal: boolean): string {
  return table(
    [
      { heading: "drive", align: "right" },
      { heading: "serial" },
      { heading: "state" },
      { heading: "behind" },
      { heading: "cartridge" },
      { heading: "remarks" },
    ],
    status.drives.map((drive) => [
      String(drive.id),
      drive.serial,
      toned(drive.state, drive.state === "failed" ? "alarm" : "good", terminal),
      drive.device ?? "-",
      drive.cartridge ?? "-",
      [
        drive.failure === null ? "" : `${drive.failure.text} (${timeText(drive.failure.atMs)})`,
        ...drive.faults.map((rule) => `fault waits: ${rule}`),
      ]
        .filter((remark) => remark !== "")
        .join("; "),
    ]),
    terminal,
  );
}

function morningText(status: Status, terminal: boolean): string {
  if (status.morning.length === 0) return "Nothing to be done in the morning.\n";
  const heading = "To be done in the morning:";
  const items = status.morning.map((item) => {
    const tone: Tone = item.severity === "alarm" ? "alarm" : item.severity === "warning" ? "warning" : "good";
    return `  ${toned(item.severity === "alarm" ? "!" : "-", tone, terminal)} ${item.text} ${item.todo}`;
  });
  return `${[terminal ? bold(heading) : heading, ...items].join("\n")}\n`;
}
