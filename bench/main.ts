/** @module `bun run bench NAME [--json] [--tiny]`: measures on this machine and says what was reached.
 *
 *      bun run bench tee           the tee against no cache, and against tgtd (about ten minutes)
 *      bun run bench tee --tiny    the same at sizes that only show that it works
 *      bun run bench failover      a drive dies in mid-stream: how long, how fast is the replay
 *      bun run bench tree          backups of the same trees by understudy, tar with lz4, restic and borg (about an hour)
 *
 *  With --json one JSON object stands alone on standard output; progress goes to standard error. */
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import { FAILOVER_FULL, FAILOVER_TINY, reportFailover, runFailover } from "./failover/failover.ts";
import { onGround } from "./ground.ts";
import { reportTee } from "./tee/report.ts";
import { FULL, TINY } from "./tee/sizes.ts";
import { PARTS, type Part, runTee } from "./tee/tee.ts";
import { STEPS } from "./tree/rounds.ts";
import { reportTree } from "./tree/report.ts";
import { PARTS as TREE_PARTS, TREE_FULL, TREE_TINY, USUAL_PARTS } from "./tree/sizes.ts";
import { runTree } from "./tree/tree.ts";

const USAGE = `usage: bun run bench tee [--json] [--tiny] [--only ${PARTS.join("|")}]...
       bun run bench failover [--json] [--tiny]
       bun run bench tree [--json] [--tiny] [--only ${TREE_PARTS.join("|")}]... [--reps N] [--work DIR]
                          [--steps ${STEPS.join("|")}]...
                          (without many, a million files, unless it is named; DIR keeps the data for the next run)`;
const say = (text: string) => process.stderr.write(`${text}\n`);

async function main(argv: readonly string[]): Promise<number> {
  const { values, positionals } = parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      json: { type: "boolean", default: false },
      tiny: { type: "boolean", default: false },
      only: { type: "string", multiple: true },
      reps: { type: "string" },
      work: { type: "string" },
      steps: { type: "string", multiple: true },
    },
  });
  const { only } = values;
  if (positionals.join() === "tree") {
    const usual = values.tiny ? TREE_TINY : TREE_FULL;
    const result = await runTree({
      sizes: { ...usual, rounds: Number(values.reps ?? usual.rounds) },
      parts: only === undefined ? USUAL_PARTS : TREE_PARTS.filter((part) => only.includes(part)),
      steps: STEPS.filter((step) => values.steps?.includes(step) ?? true),
      work: values.work === undefined ? null : resolve(values.work),
      say,
    });
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : reportTree(result));
    return Object.values(result.reached).every((reached) => reached) ? 0 : 1;
  }
  const parts = (only ?? PARTS).filter((part): part is Part => PARTS.some((known) => known === part));
  if (positionals.join() === "failover") {
    const sizes = values.tiny ? FAILOVER_TINY : FAILOVER_FULL;
    return await onGround(sizes.groundBytes, argv, async (ground) => {
      const result = await runFailover(sizes, ground, say);
      process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : reportFailover(result));
      return Object.values(result.reached).every((reached) => reached) ? 0 : 1;
    });
  }
  if (positionals.join() !== "tee" || parts.length === 0) {
    say(USAGE);
    return 2;
  }
  const sizes = values.tiny ? TINY : FULL;
  return await onGround(sizes.groundBytes, argv, async (ground) => {
    const result = await runTee({ sizes, parts, ground, say });
    process.stdout.write(values.json ? `${JSON.stringify(result)}\n` : reportTee(result));
    return Object.values(result.reached).every((reached) => reached) ? 0 : 1;
  });
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 2;
}
