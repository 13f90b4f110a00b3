/** @module The console of a real process. Written synchronously: a command's last words are out before it exits. */
import { writeSync } from "node:fs";
import type { CliConsole } from "./ports.ts";

const EAGAIN_PAUSE_MS = 5;

/** false: the reader is gone ("| head"), there is nobody left to tell. */
function writeAll(fd: number, bytes: Uint8Array): boolean {
  let done = 0;
  while (done < bytes.length) {
    try {
      done += writeSync(fd, bytes, done);
    } catch (error) {
      const code = error instanceof Error && "code" in error ? error.code : undefined;
      if (code === "EAGAIN") {
        Bun.sleepSync(EAGAIN_PAUSE_MS);
        continue;
      }
      if (code === "EPIPE") return false;
      throw error;
    }
  }
  return true;
}

export function processConsole(): CliConsole {
  const encoder = new TextEncoder();
  return {
    out: (text) => void writeAll(1, encoder.encode(text)),
    outBytes: (bytes) => writeAll(1, bytes),
    err: (text) => void writeAll(2, encoder.encode(text)),
    terminal: process.stdout.isTTY === true,
    environment: process.env,
    onStopSignal(listener) {
      const onInterrupt = () => listener("SIGINT");
      const onTerminate = () => listener("SIGTERM");
      process.on("SIGINT", onInterrupt);
      process.on("SIGTERM", onTerminate);
      return () => {
        process.off("SIGINT", onInterrupt);
        process.off("SIGTERM", onTerminate);
      };
    },
  };
}
