/** @module The benches' and tests' client as a process of its own: writes a stream through libiscsi, says how long it
 *  took until it was on tape, and can read it back. Exit code 0 only when there was no error and no difference.
 *
 *      bun bench/client/run.ts --portal 127.0.0.1:3260 --iqn auto --lun 1 --changer 2 --load 1 --bytes 2e9 --verify */
import { parseArgs } from "node:util";
import { HostChanger } from "../../src/cli/host/host-changer.ts";
import { HostTape, mustBeGood } from "../../src/cli/host/host-tape.ts";
import { discoverTargets, LibiscsiSession } from "./libiscsi.ts";
import { type ReadBack, readBack, type Stream, type Written, writeStream } from "./measure.ts";
import { BlockPattern } from "./pattern.ts";

const READY_MS = 120_000;
const MEGA = 1e6;

export interface ClientOptions {
  readonly portal: string;
  /** A target's name, or "auto": the first that discovery gives. */
  readonly iqn: string;
  readonly lun: number;
  readonly changerLun: number | undefined;
  /** Barcode, or slot counted from 1; undefined: what is in the drive. */
  readonly load: string | undefined;
  readonly driveIndex: number;
  readonly blockBytes: number;
  readonly blocks: number;
  readonly depth: number;
  readonly filemarkEvery: number;
  readonly seed: number;
  readonly verify: boolean;
  readonly unload: boolean;
  readonly timeoutMs: number;
}

export interface ClientResult extends Written {
  MBps: number;
  barcode: string;
  verified?: ReadBack & { MBps: number };
}

/** The whole of one run. */
export function runClient(options: ClientOptions): ClientResult {
  const target = options.iqn === "auto" ? discoverTargets(options.portal)[0] : options.iqn;
  if (target === undefined) throw new Error(`no target at ${options.portal}`);
  const session = LibiscsiSession.connect({ portal: options.portal, target, timeoutMs: options.timeoutMs });
  try {
    const changer =
      options.changerLun === undefined ? undefined : new HostChanger(session, options.changerLun);
    let barcode = "";
    if (changer !== undefined) {
      mustBeGood("changer", changer.waitReady());
      if (options.load !== undefined) barcode = changer.loadDrive(options.load, options.driveIndex);
    }
    const tape = new HostTape(session, options.lun);
    mustBeGood("drive", tape.waitReady(READY_MS));
    mustBeGood("REWIND", tape.rewind());

    const { blocks, depth, filemarkEvery, lun } = options;
    const pattern = new BlockPattern(options.blockBytes, depth, options.seed);
    const stream: Stream = { lun, blocks, depth, filemarkEvery };
    const written = writeStream(session, pattern, stream);
    const result: ClientResult = { ...written, MBps: written.bytes / MEGA / written.seconds, barcode };
    if (options.verify && written.error === "") {
      const verified = readBack(tape, pattern, stream);
      result.verified = {
        ...verified,
        MBps: (verified.blocks * options.blockBytes) / MEGA / verified.seconds,
      };
    }
    if (options.unload && changer !== undefined) {
      mustBeGood("UNLOAD", tape.unload());
      changer.unloadDrive(options.driveIndex);
    }
    return result;
  } finally {
    session.abandon();
  }
}

function parseOptions(argv: readonly string[]): ClientOptions & { json: boolean } {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      portal: { type: "string", default: "127.0.0.1:3260" },
      iqn: { type: "string", default: "auto" },
      lun: { type: "string", default: "1" },
      changer: { type: "string", default: "none" },
      load: { type: "string" },
      drive: { type: "string", default: "0" },
      blocks: { type: "string", default: "262144" },
      count: { type: "string" },
      bytes: { type: "string" },
      depth: { type: "string", default: "1" },
      "filemark-every": { type: "string", default: "0" },
      seed: { type: "string", default: "1" },
      "timeout-ms": { type: "string", default: "900000" },
      verify: { type: "boolean", default: false },
      unload: { type: "boolean", default: false },
      json: { type: "boolean", default: false },
    },
  });
  const blockBytes = wholeNumber("blocks", values.blocks);
  const blocks =
    values.count !== undefined
      ? wholeNumber("count", values.count)
      : Math.ceil(wholeNumber("bytes", values.bytes ?? "1e9") / blockBytes);
  return {
    portal: values.portal,
    iqn: values.iqn,
    lun: wholeNumber("lun", values.lun),
    changerLun: values.changer === "none" ? undefined : wholeNumber("changer", values.changer),
    load: values.load,
    driveIndex: wholeNumber("drive", values.drive),
    blockBytes,
    blocks,
    depth: Math.max(1, wholeNumber("depth", values.depth)),
    filemarkEvery: wholeNumber("filemark-every", values["filemark-every"]),
    seed: wholeNumber("seed", values.seed),
    timeoutMs: wholeNumber("timeout-ms", values["timeout-ms"]),
    verify: values.verify,
    unload: values.unload,
    json: values.json,
  };
}

function wholeNumber(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value) || value < 0) throw new Error(`--${name}: a whole number, not ${text}`);
  return value;
}

function sayPlainly(result: ClientResult): string {
  const lines = [
    `wrote ${(result.bytes / MEGA).toFixed(0)} MB in ${result.seconds.toFixed(2)} s: ${result.MBps.toFixed(0)} MB/s`,
    `client CPU ${result.cpuSeconds.toFixed(2)} s, longest wait ${result.longestStallMs.toFixed(1)} ms, errors ${result.hostErrors}`,
  ];
  if (result.error !== "") lines.push(`first error: ${result.error}`);
  if (result.verified !== undefined) {
    const { difference, MBps } = result.verified;
    lines.push(difference === "" ? `read back identical, ${MBps.toFixed(0)} MB/s` : `differs: ${difference}`);
  }
  return lines.join("\n");
}

if (import.meta.main) {
  try {
    const options = parseOptions(process.argv.slice(2));
    const result = runClient(options);
    process.stdout.write(`${options.json ? JSON.stringify(result) : sayPlainly(result)}\n`);
    process.exit(result.hostErrors === 0 && (result.verified?.difference ?? "") === "" ? 0 : 1);
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(2);
  }
}
