#!/usr/bin/env bun
import { cartridgePort } from "./app/cartridges.ts";
import { examine } from "./app/doctor.ts";
import { VERSION } from "./app/version.ts";
/** @module The program's entry. Workers can only be made from here: a compiled binary finds their code beside this file. */
import { startServer } from "./app.ts";
import { createCli } from "./cli/cli.ts";
import { processConsole } from "./cli/console.ts";
import { runDemo } from "./cli/demo/demo.ts";
import type { HostJobResult, HostJobStart } from "./cli/demo/host-job.ts";

const spawnWorker = (name: string): Worker =>
  new Worker(new URL("./worker.ts", import.meta.url).href, { name });
const start = (request: Parameters<typeof startServer>[0]) => startServer(request, spawnWorker);

/** The demonstration's backup server blocks in its calls: a Worker of its own. */
function runHost(job: HostJobStart): Promise<HostJobResult> {
  const worker = spawnWorker("demo host");
  const result = Promise.withResolvers<HostJobResult>();
  worker.onmessage = (event: MessageEvent) => result.resolve(event.data as HostJobResult);
  worker.addEventListener("error", (event: ErrorEvent) => result.reject(new Error(event.message)));
  worker.postMessage(job);
  return result.promise.finally(() => worker.terminate());
}

const io = processConsole();
const cli = createCli({
  version: VERSION,
  startServer: start,
  cartridges: cartridgePort,
  doctor: examine,
  spawnWorker,
  demo: (request) => runDemo(request, { console: io, startServer: start, runHost }),
  console: io,
});
process.exit(await cli.run(process.argv.slice(2)));
