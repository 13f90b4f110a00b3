/** A Worker that restores, for tests. */
import {
  type RestoreStart,
  type RestoreWorkerPort,
  runRestoreWorker,
} from "../../src/backup/restore/worker.ts";

declare const self: Worker;

self.onmessage = (event: MessageEvent<RestoreStart>) =>
  runRestoreWorker(event.data, self as RestoreWorkerPort);
