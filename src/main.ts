#!/usr/bin/env bun
/** @module The program's entry. Workers can only be made from here: a compiled binary finds their code beside this file.
 *  Rooms are entered when a command wants them. */
import { VERSION } from "./app/version.ts";
import { createCli } from "./cli/cli.ts";
import { processConsole } from "./cli/console.ts";
import type { HostJobResult, HostJobStart } from "./cli/demo/host-job.ts";
import type { ServeRequest } from "./cli/ports.ts";

const spawnWorker = (name: string): Worker =>
  new Worker(new URL("./worker.ts", import.meta.url).href, { name });
const start = async (request: ServeRequest) => (await import("./app.ts")).startServer(request, spawnWorker);

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
  cartridges: async () => (await import("./app/cartridges.ts")).cartridgePort,
  doctor: async (request) => (await import("./app/doctor.ts")).examine(request),
  spawnWorker,
  demo: async (request) =>
    (await import("./cli/demo/demo.ts")).runDemo(request, { console: io, startServer: start, runHost }),
  console: io,
});
process.exit(await cli.run(process.argv.slice(2)));
