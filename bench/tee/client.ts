/** @module One stream of the libiscsi client (bench/client), as a process of its own for every side alike. */
import { dirname, join } from "node:path";
import type { ClientResult } from "../client/run.ts";

const CLIENT = join(dirname(import.meta.dir), "client", "run.ts");

export interface StreamTo {
  readonly portal: string;
  readonly lun: number;
  /** null: no changer, the drive has its cartridge. */
  readonly changerLun: number | null;
  /** Barcode or slot from 1. */
  readonly load?: string;
}

export interface StreamOf {
  readonly bytes: number;
  readonly blockBytes: number;
  readonly depth: number;
  readonly verify?: boolean;
  readonly unload?: boolean;
}

/** From the first WRITE to GOOD of a synchronising filemark; throws at any error or difference. */
export async function stream(to: StreamTo, of: StreamOf): Promise<ClientResult> {
  const child = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "--", process.execPath, CLIENT, "--json"],
      ...["--portal", to.portal, "--lun", String(to.lun), "--changer", String(to.changerLun ?? "none")],
      ...(to.load === undefined ? [] : ["--load", to.load]),
      ...["--bytes", String(of.bytes), "--blocks", String(of.blockBytes), "--depth", String(of.depth)],
      ...(of.verify === true ? ["--verify"] : []),
      ...(of.unload === true ? ["--unload"] : []),
    ],
    { stdin: "ignore", stdout: "pipe", stderr: "pipe" },
  );
  const [output, errors, exitCode] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (exitCode !== 0) throw new Error(`the client ended with ${exitCode}: ${output}${errors}`);
  return JSON.parse(output) as ClientResult;
}
