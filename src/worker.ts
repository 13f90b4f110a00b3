/** @module Where every Worker of the process begins: told once what it is, it then runs for ever. */
import { runCacheWorker } from "./workers/cache-worker.ts";
import { runDriveWorker } from "./workers/drive-worker.ts";
import { runFrontWorker } from "./workers/front-worker.ts";
import type { StartMessage, WorkerNotice } from "./workers/protocol.ts";

declare const self: Worker;

const tell = (notice: WorkerNotice) => self.postMessage(notice);

self.onmessage = (event: MessageEvent<StartMessage>) => {
  const start = event.data;
  switch (start.role) {
    case "front":
      return runFrontWorker(start, tell);
    case "drive":
      return runDriveWorker(start, tell);
    case "cache":
      return runCacheWorker(start, tell);
  }
};
