/** @module `understudy doctor`: looks at a set-up before it is relied upon, and says what to do. Changes nothing; where a
 *  server runs on it, what would disturb that one is left out. */
import { readFileSync, rmSync, statSync } from "node:fs";
import { lockState } from "../base/state-lock.ts";
import type { DoctorReport, DoctorRequest } from "../cli/ports.ts";
import { loadSettings } from "../config.ts";
import { Findings } from "./doctor/finding.ts";
import { checkFiles, checkKernel, checkMemory, checkPorts, checkTimeLimits } from "./doctor/machine.ts";
import { checkForeign, checkSecrets } from "./doctor/network.ts";
import { checkCaches, checkLibrary, checkSpeed } from "./doctor/storage.ts";

const MEASURE_MS = 500;

export async function examine(request: DoctorRequest): Promise<DoctorReport> {
  const findings = new Findings();
  const report = () => ({ worst: findings.worst, findings: findings.list });
  const loaded = loadSettings({
    file: request.configFile,
    overrides: { stateDirectory: request.stateDirectory },
    environment: process.env,
  });
  if (loaded.kind === "misconfigured") {
    for (const line of loaded.lines) findings.fault("settings", line, "correct the file");
    return report();
  }
  const { settings } = loaded;
  const { stateDirectory } = settings;
  findings.good("settings", `${settings.file ?? "defaults"}: ${settings.devices.length} devices`);
  checkKernel(findings);

  const isNew = statSync(stateDirectory, { throwIfNoEntry: false }) === undefined;
  const lock = lockState(stateDirectory);
  const running = lock.kind === "refused" && lock.text.includes("in use by");
  try {
    if (running)
      findings.good("state directory", `${stateDirectory}: a server runs (${holder(stateDirectory)})`);
    else if (lock.kind === "refused") {
      findings.fault(
        "state directory",
        lock.text,
        "give it to the user that runs the server, or name another",
      );
      return report();
    } else findings.good("state directory", `${stateDirectory}: ${isNew ? "can be made" : "free to use"}`);
    checkMemory(settings, findings);
    checkFiles(settings, findings);
    checkPorts(settings, running, findings);
    checkTimeLimits(settings, findings);
    checkSecrets(settings, findings);
    if (settings.library.foreign === null) checkLibrary(settings, findings);
    else if (!running) checkForeign(settings, findings);
    checkCaches(settings, running, findings);
    if (!running) checkSpeed(settings, MEASURE_MS, findings);
  } finally {
    if (lock.kind === "locked") lock.release();
    if (lock.kind === "locked" && isNew) rmSync(stateDirectory, { recursive: true });
  }
  return report();
}

function holder(stateDirectory: string): string {
  try {
    return `process ${readFileSync(`${stateDirectory}/lock`, "utf8").trim()}`;
  } catch {
    return "process unknown";
  }
}
