/** @module A line that shows how far a backup has come, on a terminal only. */
import type { RunProgress } from "../backup/run/run.ts";
import { formatBytes } from "../base/units.ts";
import type { CliConsole } from "./ports.ts";

const EVERY_MS = 200;
const CLEAR_LINE = "\r\u001b[K";

export interface ShownProgress {
  /** Takes the line away; may be called twice. */
  end(): void;
}

export function showProgress(console: CliConsole, quiet: boolean, progress: RunProgress): ShownProgress {
  if (quiet || !console.terminal) return { end() {} };
  const startedMs = performance.now();
  const timer = setInterval(
    () => console.err(`${CLEAR_LINE}${progressLine(progress, (performance.now() - startedMs) / 1000)}`),
    EVERY_MS,
  );
  let shown = true;
  return {
    end() {
      if (!shown) return;
      shown = false;
      clearInterval(timer);
      console.err(CLEAR_LINE);
    },
  };
}

/** Files, bytes, rate, time left. */
export function progressLine(progress: RunProgress, seconds: number): string {
  const { phase, entries, filesRead, filesToRead, bytesRead, bytesToRead } = progress;
  const rate = seconds > 0 ? bytesRead / seconds : 0;
  const head = `${phase}: ${entries} entries, ${filesRead}/${filesToRead} files, ${formatBytes(bytesRead)}/${formatBytes(bytesToRead)}, ${formatBytes(rate)}/s`;
  if (phase === "scan" || rate === 0) return head;
  return `${head}, ${Math.ceil(Math.max(0, bytesToRead - bytesRead) / rate)} s left`;
}
