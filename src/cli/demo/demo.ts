/** @module `understudy demo`: the main job on this machine, from end to end. A library with one drive and one spare; a
 *  backup server that writes a real tar stream; the drive killed in the middle of it, through the public API; then
 *  everything read back twice: through the device, and from the cartridge file by a reader of its own. */
import { mkdtempSync, rmSync, statfsSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { HouseEvent } from "../../base/events.ts";
import { formatBytes } from "../../base/units.ts";
import { Client } from "../client.ts";
import type { DemoRequest } from "../demo-request.ts";
import type { CliConsole, RunningServer, ServeRequest, StartOutcome } from "../ports.ts";
import { CartridgeReader } from "./cartridge-reader.ts";
import { type Display, deviceLine, openDisplay } from "./display.ts";
import {
  type HostJobResult,
  type HostJobStart,
  READ_BYTES,
  WRITTEN_BLOCKS,
  WRITTEN_BYTES,
} from "./host-job.ts";
import { tarStreamBytes } from "./tar-stream.ts";

const RING_MEGABYTES = 64;
const CACHE_MEGABYTES = 512;
const STREAM_BYTES_MIN = 512e6;
const FAULT_AT = 0.4;
const FAULT = "on write 1: hardware error";
const BARCODE = "UND001L8";
/** A drive slower than the host, as real ones are: what the host sends is ahead of the tape when the drive dies. */
const PACE_MEGABYTES_PER_SECOND = 160;
const POLL_MS = 100;
const EVENTS_MAX = 1000;

export interface DemoPorts {
  readonly console: CliConsole;
  startServer(request: ServeRequest): Promise<StartOutcome>;
  /** Runs the backup server in a Worker. */
  runHost(start: HostJobStart): Promise<HostJobResult>;
}

interface DemoResult {
  bytes: number;
  blocks: number;
  hostErrors: number;
  hostLongestStallMs: number;
  faultAtBlock: number;
  resumedAtBlock: number;
  recoveryMs: number;
  identicalThroughDevice: boolean;
  identicalOnCartridge: boolean;
  hostMBps: number;
}

export async function runDemo(request: DemoRequest, ports: DemoPorts): Promise<number> {
  const { out, err } = ports.console;
  const display = openDisplay(request.json ? err : out, request.terminal && !request.json);
  const state = mkdtempSync(join(tmpdir(), "understudy-demo-"));
  let server: RunningServer | null = null;
  try {
    if (!statSync(request.directory).isDirectory())
      throw new Error(`${request.directory} is not a directory`);
    const passBytes = await tarStreamBytes(request.directory);
    if (passBytes < 10240) throw new Error(`${request.directory}: tar gives nothing to write`);
    const wanted = Math.max(STREAM_BYTES_MIN, 4 * RING_MEGABYTES * 1048576);
    const passes = Math.ceil(wanted / passBytes);
    const totalBytes = passes * passBytes;
    checkRoom(state, totalBytes);
    display.line(
      `${request.directory} as a tar stream, ${passes === 1 ? "once" : `${passes} times`}: ${formatBytes(totalBytes)}`,
    );
    server = await startLibrary(state, totalBytes, ports);
    const result = await job(server, state, request.directory, passes, totalBytes, ports, display);
    const good =
      result.hostErrors === 0 &&
      result.identicalThroughDevice &&
      result.identicalOnCartridge &&
      result.faultAtBlock >= 0;
    tell(display, result, good);
    if (request.json) out(`${JSON.stringify(result)}\n`);
    return good ? 0 : 1;
  } catch (error) {
    err(`understudy: demo: ${error instanceof Error ? error.message : String(error)}\n`);
    return 1;
  } finally {
    display.end();
    await server?.drainAndStop();
    rmSync(state, { recursive: true, force: true });
  }
}

function checkRoom(state: string, totalBytes: number): void {
  const needed = totalBytes * 1.1 + CACHE_MEGABYTES * 1.5 * 1048576 + 64e6;
  const { bavail, bsize } = statfsSync(state);
  if (bavail * bsize < needed)
    throw new Error(
      `${state}: ${formatBytes(needed)} are needed, ${formatBytes(bavail * bsize)} are free; set TMPDIR to a larger file system`,
    );
}

async function startLibrary(state: string, totalBytes: number, ports: DemoPorts): Promise<RunningServer> {
  const configFile = join(state, "understudy.toml");
  const capacityMegabytes = Math.ceil((totalBytes * 1.25) / 1048576) + 1024;
  writeFileSync(
    configFile,
    `[log]
level = "error"
[device]
ringMegabytes = ${RING_MEGABYTES}
cache = { megabytes = ${CACHE_MEGABYTES} }
[library]
drives = 1
spares = 1
slots = 2
capacityMegabytes = ${capacityMegabytes}
paceMegabytesPerSecond = ${PACE_MEGABYTES_PER_SECOND}
latencies = { loadMs = 300, unloadMs = 200, moveMs = 300, locateMs = 100 }
`,
  );
  const outcome = await ports.startServer({
    configFile,
    stateDirectory: join(state, "state"),
    iscsi: { host: "127.0.0.1", port: 0 },
    http: { host: "127.0.0.1", port: 0 },
    json: false,
  });
  if (outcome.kind === "misconfigured") throw new Error(outcome.lines.join("; "));
  if (outcome.kind === "refused") throw new Error(outcome.text);
  return outcome.server;
}

async function job(
  server: RunningServer,
  state: string,
  directory: string,
  passes: number,
  totalBytes: number,
  ports: DemoPorts,
  display: Display,
): Promise<DemoResult> {
  const { iscsi, targetName, httpUrl } = server.ready;
  const api = new Client(httpUrl, undefined);
  const progress = new SharedArrayBuffer(64);
  const figures = new Float64Array(progress);
  display.line(
    `backup server: writes to LUN 1 of ${targetName} at ${iscsi.host}:${iscsi.port}, cartridge ${BARCODE}`,
  );
  const host = ports.runHost({
    role: "demoHost",
    host: iscsi.host,
    port: iscsi.port,
    targetName,
    barcode: BARCODE,
    directory,
    passes,
    progress,
  });
  let done = false;
  const finished = host.finally(() => {
    done = true;
  });
  let injected = false;
  let eventId = 0;
  while (!done) {
    await Promise.race([finished.catch(() => undefined), Bun.sleep(POLL_MS)]);
    const written = figures[WRITTEN_BYTES] ?? 0;
    if (!injected && written >= totalBytes * FAULT_AT) {
      injected = true;
      display.line(`fault: drive 1, ${FAULT} (host at block ${figures[WRITTEN_BLOCKS]})`);
      await api.order("POST", "/drives/1/fault", { rule: FAULT });
    }
    for (const event of await api.events(eventId, EVENTS_MAX)) {
      eventId = event.id;
      if (event.kind !== "cache" && (event.device !== null || event.kind === "library"))
        display.line(`  ${event.text}`);
    }
    const device = (await api.status()).devices[0];
    const read = figures[READ_BYTES] ?? 0;
    if (device !== undefined)
      display.live(read > 0 ? `  read back ${formatBytes(read)}` : deviceLine(device, written, totalBytes));
  }
  const result = await host;
  if (result.error !== "") display.line(`host error: ${result.error}`);
  display.line(`straight from the cartridge file: ${BARCODE}.tape`);
  const onCartridge = readCartridge(join(state, "state", "library", "cartridges", `${BARCODE}.tape`));
  const events = await api.events(0, EVENTS_MAX);
  return {
    bytes: result.bytes,
    blocks: result.blocks,
    hostErrors: result.hostErrors,
    hostLongestStallMs: Math.round(result.longestStallMs),
    faultAtBlock: figureOf(events, (event) => event.transition === "operationFailed", "position"),
    resumedAtBlock: figureOf(events, (event) => event.transition.endsWith("-> Replaying"), "position"),
    recoveryMs: Math.round(
      figureOf(events, (event) => event.transition === "Replaying -> Streaming", "forMs"),
    ),
    identicalThroughDevice:
      result.readSha256 === result.sha256 &&
      result.readBytes === result.bytes &&
      result.readBlocks === result.blocks,
    identicalOnCartridge:
      onCartridge.sha256 === result.sha256 &&
      onCartridge.blocks === result.blocks &&
      onCartridge.filemarks === 1 &&
      onCartridge.otherBytes === 0,
    hostMBps: Number((result.bytes / 1e6 / result.seconds).toFixed(1)),
  };
}

function figureOf(events: readonly HouseEvent[], which: (event: HouseEvent) => boolean, key: string): number {
  const value = events.find(which)?.evidence[key];
  return typeof value === "number" ? value : -1;
}

/** What is really on the cartridge: its first tape file, and whether anything else is there. */
function readCartridge(path: string): {
  sha256: string;
  blocks: number;
  filemarks: number;
  otherBytes: number;
} {
  const reader = new CartridgeReader(path);
  const hash = new Bun.CryptoHasher("sha256");
  let blocks = 0;
  for (const block of reader.file(0)) {
    hash.update(block);
    blocks++;
  }
  const summary = reader.summarize(false);
  reader.close();
  return {
    sha256: hash.digest("hex"),
    blocks,
    filemarks: summary.filemarks,
    otherBytes: summary.blocks - blocks + summary.tornBytes,
  };
}

function tell(display: Display, result: DemoResult, good: boolean): void {
  const yes = (value: boolean) => (value ? "yes" : "NO");
  display.line("");
  display.line(
    `  host          ${formatBytes(result.bytes)} in ${result.blocks} blocks at ${result.hostMBps} MB/s`,
  );
  display.line(
    `  host errors   ${result.hostErrors} (longest wait of one command: ${result.hostLongestStallMs} ms)`,
  );
  display.line(
    `  drive         died at block ${result.faultAtBlock}; the spare went on at block ${result.resumedAtBlock}, caught up after ${result.recoveryMs} ms`,
  );
  display.line(
    `  identical     through the device: ${yes(result.identicalThroughDevice)}; on the cartridge: ${yes(result.identicalOnCartridge)}`,
  );
  display.line(good ? "The backup server never knew." : "This should not have happened.");
}
