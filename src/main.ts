#!/usr/bin/env bun
import { cartridgePort } from "./app/cartridges.ts";
import { VERSION } from "./app/version.ts";
/** @module The program's entry. Workers can only be made from here: a compiled binary finds their code beside this file. */
import { startServer } from "./app.ts";
import { createCli } from "./cli/cli.ts";
import { processConsole } from "./cli/console.ts";
import { runDemo } from "./cli/demo/demo.ts";

const spawnWorker = (name: string): Worker =>
  new Worker(new URL("./worker.ts", import.meta.url).href, { name });
const start = (request: Parameters<typeof startServer>[0]) => startServer(request, spawnWorker);

const cli = createCli({
  version: VERSION,
  startServer: start,
  cartridges: cartridgePort,
  demo: (request) => runDemo(request, start),
  console: processConsole(),
});
process.exit(await cli.run(process.argv.slice(2)));
