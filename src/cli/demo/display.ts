/** @module What the demonstration shows while it runs: one living line on a terminal, plain lines otherwise. */

import type { DeviceStatus } from "../../base/status.ts";
import { formatBytes } from "../../base/units.ts";

export interface Display {
  line(text: string): void;
  live(text: string): void;
  end(): void;
}

const PLAIN_EVERY_MS = 2000;

export function openDisplay(write: (text: string) => void, terminal: boolean): Display {
  let shownLength = 0;
  let plainMs = 0;
  const clear = () => {
    if (shownLength > 0) write(`\r${" ".repeat(shownLength)}\r`);
    shownLength = 0;
  };
  return {
    line(text) {
      clear();
      write(`${text}\n`);
    },
    live(text) {
      if (terminal) {
        write(`\r${text.padEnd(shownLength)}`);
        shownLength = text.length;
        return;
      }
      const nowMs = performance.now();
      if (nowMs - plainMs < PLAIN_EVERY_MS) return;
      plainMs = nowMs;
      write(`${text}\n`);
    },
    end: clear,
  };
}

/** Host, cache and drive side by side, and who is at it. */
export function deviceLine(device: DeviceStatus, doneBytes: number, totalBytes: number): string {
  const rate = (bytes: number) => `${(bytes / 1e6).toFixed(0).padStart(4)} MB/s`;
  const percent = totalBytes === 0 ? 0 : Math.min(100, (doneBytes / totalBytes) * 100);
  const drive = device.drive === null ? "no drive" : `drive ${device.drive.id}`;
  return (
    `  ${percent.toFixed(0).padStart(3)} % ${formatBytes(doneBytes).padStart(9)}` +
    `  host ${rate(device.rates.host)}  cache ${rate(device.rates.cache)}  tape ${rate(device.rates.drive)}` +
    `  ${device.state} on ${drive} from ${device.follower}, flow ${device.flow}`
  );
}
