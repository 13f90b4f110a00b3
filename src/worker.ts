/** @module Where every Worker of the process begins: told once what it is, it then runs for ever. */
import { type RestoreStart, type RestoreWorkerPort, runRestoreWorker } from "./backup/restore/worker.ts";
import { runBackupReader, type WorkerPort } from "./backup/run/read-worker.ts";
import type { ReaderStart } from "./backup/run/messages.ts";
import { runVerifyShare } from "./backup/verify/share.ts";
import type { VerifyStart } from "./backup/verify/types.ts";
import { type HostJobStart, runHostJob } from "./cli/demo/host-job.ts";
import { runCacheWorker } from "./workers/cache-worker.ts";
import { runChangerWorker } from "./workers/changer-worker.ts";
import { runDriveWorker } from "./workers/drive-worker.ts";
import { runFrontWorker } from "./workers/front-worker.ts";
import type { StartMessage, WorkerNotice } from "./workers/protocol.ts";

declare const self: Worker;

const tell = (notice: WorkerNotice) => self.postMessage(notice);

self.onmessage = (
  event: MessageEvent<StartMessage | HostJobStart | ReaderStart | RestoreStart | VerifyStart>,
) => {
  const start = event.data;
  switch (start.role) {
    case "front":
      return runFrontWorker(start, tell);
    case "drive":
      return runDriveWorker(start, tell);
    case "changer":
      return runChangerWorker(start, tell);
    case "cache":
      return runCacheWorker(start, tell);
    case "verify":
      return self.postMessage(runVerifyShare(start));
    case "restore":
      return runRestoreWorker(start, self as RestoreWorkerPort);
    case "backupReader":
      return runBackupReader(start, self as WorkerPort);
    case "demoHost":
      return self.postMessage(runHostJob(start));
  }
};
