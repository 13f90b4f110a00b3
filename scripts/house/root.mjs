/** @module Where the checkout is, and how its scripts run a command: plain Node 20, no dependencies. Whatever a helper
 *  says goes to standard error, since standard output belongs to the demo and to the tests' summary. */
import { spawn } from "node:child_process";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

export const ROOT = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
export const BIN = join(ROOT, "node_modules", ".bin");
export const BUN = join(BIN, "bun");

export function say(text) {
  process.stderr.write(`${text}\n`);
}

/** The environment of every command: the checkout's own programs come first. */
export function environment(extra = {}) {
  return { ...process.env, PATH: `${BIN}${delimiter}${process.env.PATH ?? ""}`, ...extra };
}

/**
 * Runs a command in the checkout to its end. Resolves with its exit code: 127 where it cannot be started, 128 + n where
 * a signal ended it, 124 where its time was up. Signals that we get go to it.
 *
 * @param {string} command
 * @param {readonly string[]} args
 * @param {{ env?: Record<string, string | undefined>, output?: "inherit" | "stderr" | "ignore", timeoutMs?: number }} [options]
 * @returns {Promise<number>}
 */
export function run(command, args, options = {}) {
  const out = { inherit: "inherit", stderr: 2, ignore: "ignore" }[options.output ?? "stderr"];
  const limited = options.timeoutMs !== undefined;
  return new Promise((resolve) => {
    const child = spawn(command, args, {
      cwd: ROOT,
      env: environment(options.env),
      stdio: [
        options.output === "inherit" && !limited ? "inherit" : "ignore",
        out,
        out === "ignore" ? out : 2,
      ],
      // A group of its own, so that nothing it started outlives its time.
      detached: limited,
    });
    const pass = (signal) => {
      try {
        if (limited) process.kill(-(child.pid ?? 0), signal);
        // At a terminal the child hears Ctrl-C itself.
        else if (signal !== "SIGINT") child.kill(signal);
      } catch {
        // It has ended meanwhile.
      }
    };
    const onInterrupt = () => pass("SIGINT");
    const onTerminate = () => pass("SIGTERM");
    process.on("SIGINT", onInterrupt).on("SIGTERM", onTerminate);
    let late = false;
    const timer = limited
      ? setTimeout(() => {
          late = true;
          pass("SIGKILL");
        }, options.timeoutMs)
      : null;
    const end = (code) => {
      if (timer !== null) clearTimeout(timer);
      process.off("SIGINT", onInterrupt).off("SIGTERM", onTerminate);
      resolve(late ? 124 : code);
    };
    child.on("error", () => end(127));
    child.on("exit", (code, signal) => end(code ?? 128 + (SIGNAL_NUMBERS[signal ?? ""] ?? 0)));
  });
}

const SIGNAL_NUMBERS = { SIGHUP: 1, SIGINT: 2, SIGQUIT: 3, SIGABRT: 6, SIGKILL: 9, SIGSEGV: 11, SIGTERM: 15 };
