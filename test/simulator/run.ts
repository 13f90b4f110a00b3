/** @module One seed again, or many: `bun test/simulator/run.ts --seed N --trace`, `--count N [--from N]`. */
import { planOf } from "./schedule.ts";
import { runSeed } from "./world.ts";

function option(name: string): number | null {
  const at = process.argv.indexOf(`--${name}`);
  return at === -1 ? null : Number(process.argv[at + 1]);
}

const say = (line: string): void => {
  process.stdout.write(`${line}\n`);
};

const seed = option("seed");
if (seed !== null) {
  const trace = process.argv.includes("--trace");
  if (trace) {
    const { devices, drives, ...rest } = planOf(seed);
    say(JSON.stringify({ ...rest, robotFaults: [...rest.robotFaults] }));
    drives.forEach((plan, i) => {
      say(`drive ${i + 1}: ${JSON.stringify({ ...plan, writeFaults: [...plan.writeFaults] })}`);
    });
    for (const { program, ...plan } of devices)
      say(`device: ${JSON.stringify({ ...plan, operations: program.length })}`);
  }
  const outcome = runSeed(seed, undefined, trace ? say : null);
  say(JSON.stringify(outcome));
  process.exit(outcome.broken === null ? 0 : 1);
}

const from = option("from") ?? 1;
const count = option("count") ?? 5000;
const ends = new Map<string, number>();
let broken = 0;
for (let one = from; one < from + count; one++) {
  const outcome = runSeed(one);
  for (const end of outcome.ends) ends.set(end, (ends.get(end) ?? 0) + 1);
  if (outcome.broken === null) continue;
  broken++;
  if (broken <= 10) say(`${outcome.broken}: bun test/simulator/run.ts --seed ${one} --trace`);
}
say(JSON.stringify({ schedules: count, broken, ends: Object.fromEntries(ends) }));
process.exit(broken === 0 ? 0 : 1);
