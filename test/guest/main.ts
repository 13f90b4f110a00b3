/** @module Runs a guest job by hand: `bun test/guest/main.ts [-e NAME=VALUE]... [-t SECONDS] [-m MEGABYTES] job.sh [file...]`. */

import { parseArgs } from "node:util";
import { ensureGuestImage, runGuest } from "./guest.ts";

const USAGE =
  "usage: bun test/guest/main.ts [-e NAME=VALUE]... [-t SECONDS] [-m MEGABYTES] job.sh [file...]\n";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    env: { type: "string", short: "e", multiple: true, default: [] },
    timeout: { type: "string", short: "t", default: "600" },
    memory: { type: "string", short: "m", default: "1024" },
  },
});
const [script, ...files] = positionals;
if (script === undefined) {
  process.stderr.write(USAGE);
  process.exit(2);
}

await ensureGuestImage((stage) => process.stderr.write(`guest: ${stage}\n`));
const result = await runGuest({
  script,
  files,
  env: Object.fromEntries(
    values.env.map((pair) => [pair.split("=", 1)[0]!, pair.slice(pair.indexOf("=") + 1)]),
  ),
  timeoutSeconds: Number(values.timeout),
  memoryMegabytes: Number(values.memory),
  onLine: (line) => void process.stdout.write(`${line}\n`),
});
if (result.end !== "finished") process.stderr.write(`--- console\n${result.dmesg}`);
process.stderr.write(`guest: ${result.end}, status ${result.exitCode}, ${result.wallSeconds.toFixed(1)} s\n`);
process.exit(result.exitCode ?? 125);
