/** @module The status as Prometheus reads it (text format 0.0.4). */
import type { DeviceStatus, StatusFacts } from "../base/status.ts";

interface Metric {
  readonly name: string;
  readonly type: "counter" | "gauge";
  readonly help: string;
  readonly value: (device: DeviceStatus) => number;
}

const DEVICE_METRICS: readonly Metric[] = [
  {
    name: "received_bytes",
    type: "counter",
    help: "Host data received",
    value: (d) => d.marks.received.bytes,
  },
  {
    name: "cached_bytes",
    type: "counter",
    help: "Host data durable in the cache",
    value: (d) => d.marks.cached.bytes,
  },
  {
    name: "on_tape_bytes",
    type: "counter",
    help: "Host data confirmed on tape",
    value: (d) => d.marks.onTape.bytes,
  },
  {
    name: "owed_filemarks",
    type: "gauge",
    help: "Filemarks promised from the cache",
    value: (d) => d.owedFilemarks,
  },
  { name: "host_bytes_per_second", type: "gauge", help: "Rate from the host", value: (d) => d.rates.host },
  { name: "drive_bytes_per_second", type: "gauge", help: "Rate to the drive", value: (d) => d.rates.drive },
  {
    name: "host_stall_seconds_max",
    type: "gauge",
    help: "Longest wait of one command",
    value: (d) => d.hostStallMsMax / 1000,
  },
  {
    name: "cache_pinned_bytes",
    type: "gauge",
    help: "Journal that may not be overwritten",
    value: (d) => d.cache.pinnedBytes,
  },
  {
    name: "streaming",
    type: "gauge",
    help: "1: in normal work",
    value: (d) => (d.state === "Streaming" ? 1 : 0),
  },
  {
    name: "halted",
    type: "gauge",
    help: "1: waits for the operator",
    value: (d) => (d.state === "Halted" ? 1 : 0),
  },
];

export function metricsText(status: StatusFacts): string {
  const lines: string[] = [];
  for (const { name, type, help, value } of DEVICE_METRICS) {
    lines.push(`# HELP understudy_${name} ${help}`, `# TYPE understudy_${name} ${type}`);
    for (const device of status.devices)
      lines.push(`understudy_${name}{device="${device.name}"} ${value(device)}`);
  }
  const failed = status.drives.filter((drive) => drive.state === "failed").length;
  const spare = status.drives.filter((drive) => drive.state === "spare").length;
  lines.push("# HELP understudy_drives Real drives by state", "# TYPE understudy_drives gauge");
  lines.push(`understudy_drives{state="failed"} ${failed}`, `understudy_drives{state="spare"} ${spare}`);
  lines.push("# HELP understudy_sessions iSCSI sessions", "# TYPE understudy_sessions gauge");
  lines.push(`understudy_sessions ${status.sessions.length}`);
  return `${lines.join("\n")}\n`;
}
