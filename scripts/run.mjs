/** @module `npm run demo` and `npm test`: set up, then do it.
 *    node scripts/run.mjs demo [DIR] [--json]
 *    node scripts/run.mjs test [--only unit|slow|PART-OF-A-PATH]...
 *  Nothing but the demo's own output, or the tests' results, goes to standard output. */
import { resolve } from "node:path";
import { BUN, run, say } from "./house/root.mjs";
import { runTests } from "./house/tests.mjs";
import { setUp } from "./setup.mjs";

const USAGE = "usage: node scripts/run.mjs demo [DIR] [--json] | test [--only unit|slow|PART-OF-A-PATH]...";

/** npm runs us in the checkout: a path is meant from where it was called. */
function fromCaller(argument) {
  return argument.startsWith("-") ? argument : resolve(process.env.INIT_CWD ?? process.cwd(), argument);
}

async function main([what, ...args]) {
  switch (what) {
    case "demo":
      await setUp({ tests: false });
      return await run(BUN, ["src/main.ts", "demo", ...args.map(fromCaller)], { output: "inherit" });
    case "test":
      return await runTests(args);
    default:
      say(USAGE);
      return 2;
  }
}

try {
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  say(error instanceof Error ? error.message : String(error));
  process.exitCode = 1;
}
