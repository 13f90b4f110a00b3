/** @module Where every Worker of the process begins: told once what it is, it then runs for ever. It loads only what its
 *  role wants: a backup's Worker starts in a few milliseconds, and has no iSCSI in its memory. */
import type { RestoreStart, RestoreWorkerPort } from "./backup/restore/worker.ts";
import type { ReaderStart } from "./backup/run/messages.ts";
import type { WorkerPort } from "./backup/run/read-worker.ts";
import type { VerifyStart } from "./backup/verify/types.ts";
import type { HostJobStart } from "./cli/demo/host-job.ts";
import type { StartMessage, WorkerNotice } from "./workers/protocol.ts";

declare const self: Worker;

const tell = (notice: WorkerNotice) => self.postMessage(notice);

type Start = StartMessage | HostJobStart | ReaderStart | RestoreStart | VerifyStart;

async function begin(start: Start): Promise<void> {
  switch (start.role) {
    case "front":
      return (await import("./workers/front-worker.ts")).runFrontWorker(start, tell);
    case "drive":
      return (await import("./workers/drive-worker.ts")).runDriveWorker(start, tell);
    case "changer":
      return (await import("./workers/changer-worker.ts")).runChangerWorker(start, tell);
    case "cache":
      return (await import("./workers/cache-worker.ts")).runCacheWorker(start, tell);
    case "verify":
      return self.postMessage((await import("./backup/verify/share.ts")).runVerifyShare(start));
    case "restore":
      return (await import("./backup/restore/worker.ts")).runRestoreWorker(start, self as RestoreWorkerPort);
    case "backupReader":
      return (await import("./backup/run/read-worker.ts")).runBackupReader(start, self as WorkerPort);
    case "demoHost":
      return self.postMessage((await import("./cli/demo/host-job.ts")).runHostJob(start));
  }
}

/** What comes while the role is being loaded: the role hears it first of all. */
const early: MessageEvent[] = [];

self.onmessage = (event: MessageEvent<Start>) => {
  self.onmessage = (next: MessageEvent) => early.push(next);
  begin(event.data).then(
    () => {
      for (const next of early.splice(0)) self.onmessage?.call(self, next);
    },
    // An error of the Worker, as if it had been thrown here and now.
    (error: unknown) =>
      queueMicrotask(() => {
        throw error;
      }),
  );
};
