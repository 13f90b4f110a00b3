/** @module The composition root: settings -> library, memories, Workers, directors, API; joined here and nowhere else. */
import { join } from "node:path";
import { House } from "./app/house.ts";
import { systemClock } from "./base/clock.ts";
import { startLog } from "./base/log.ts";
import { lockState } from "./base/state-lock.ts";
import { openCatalog } from "./catalog/catalog.ts";
import type { ServeRequest, StartOutcome } from "./cli/ports.ts";
import { loadSettings } from "./config.ts";
import type { SpawnWorker } from "./workers/handle.ts";

export type { SpawnWorker } from "./workers/handle.ts";

export async function startServer(request: ServeRequest, spawn: SpawnWorker): Promise<StartOutcome> {
  const loaded = loadSettings({
    file: request.configFile,
    overrides: {
      stateDirectory: request.stateDirectory,
      iscsi: request.iscsi,
      http: request.http,
      ...(request.json ? { logFormat: "json" as const } : {}),
    },
    environment: process.env,
  });
  if (loaded.kind === "misconfigured") return loaded;
  const { settings } = loaded;
  startLog({ level: settings.log.level, format: settings.log.format, thread: "main" });

  const lock = lockState(settings.stateDirectory);
  if (lock.kind === "refused") return lock;
  const catalog = openCatalog(join(settings.stateDirectory, "catalog.sqlite"), systemClock);
  if (catalog.kind === "refused") {
    lock.release();
    return catalog;
  }
  const house = new House(settings, catalog.catalog, spawn, systemClock);
  const refusal = await house.open();
  if (refusal !== null) {
    catalog.catalog.close();
    lock.release();
    return { kind: "refused", text: refusal };
  }
  return { kind: "running", server: house };
}
