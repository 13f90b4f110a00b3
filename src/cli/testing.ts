/** @module For tests of commands: a console that keeps what is said, and ports that nobody may ask for anything. */
import type { CliConsole, CliPorts } from "./ports.ts";

export interface Said {
  out: string;
  err: string;
}

const never = () => Promise.reject(new Error("nobody should ask for this here"));

/** What is said goes to `said`. */
export function testPorts(said: Said, console: Partial<CliConsole> = {}): CliPorts {
  return {
    version: "0.1.0",
    startServer: never,
    cartridges: never,
    doctor: never,
    spawnWorker: () => {
      throw new Error("no Worker is made here");
    },
    demo: never,
    console: {
      out: (text) => {
        said.out += text;
      },
      outBytes: () => true,
      err: (text) => {
        said.err += text;
      },
      terminal: false,
      environment: {},
      onStopSignal: () => () => {},
      ...console,
    },
  };
}
