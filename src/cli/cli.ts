/** @module The command line: one file a command, joined here. Errors are one line to standard error: what, where, what
 *  to do. `run` resolves with the exit code and never throws; the caller ends the process with it at once
 *  (`process.exit`), since a server that was told to quit may still be draining. */
import { Command, CommanderError } from "commander";
import { CommandFailure, EXIT, EXIT_HELP } from "./exit.ts";
import type { CliPorts } from "./ports.ts";

/** A command's definition is loaded when it is called, all of them for the help: a backup every 15 minutes does not load a
 *  tape library first. */
const COMMANDS: Readonly<Record<string, () => Promise<AddCommand>>> = {
  serve: async () => (await import("./commands/serve.ts")).addServe,
  status: async () => (await import("./commands/status.ts")).addStatus,
  events: async () => (await import("./commands/events.ts")).addEvents,
  drive: async () => (await import("./commands/drive.ts")).addDrive,
  cache: async () => (await import("./commands/cache.ts")).addCache,
  retry: async () => (await import("./commands/retry.ts")).addRetry,
  cartridge: async () => (await import("./commands/cartridge.ts")).addCartridge,
  doctor: async () => (await import("./commands/doctor.ts")).addDoctor,
  store: async () => (await import("./commands/store.ts")).addStore,
  backup: async () => (await import("./commands/backup.ts")).addBackup,
  restore: async () => (await import("./commands/restore.ts")).addRestore,
  verify: async () => (await import("./commands/verify.ts")).addVerify,
  list: async () => (await import("./commands/list.ts")).addList,
  versions: async () => (await import("./commands/versions.ts")).addVersions,
  diff: async () => (await import("./commands/diff.ts")).addDiff,
  find: async () => (await import("./commands/find.ts")).addFind,
  pare: async () => (await import("./commands/pare.ts")).addPare,
  pin: async () => (await import("./commands/pin.ts")).addPin,
  plan: async () => (await import("./commands/plan.ts")).addPlan,
  demo: async () => (await import("./commands/demo.ts")).addDemo,
};

type AddCommand = (program: Command, ports: CliPorts, finish: (exitCode: number) => void) => void;

export interface Cli {
  /** `args` without the program's own name. */
  run(args: readonly string[]): Promise<number>;
}

export function createCli(ports: CliPorts): Cli {
  return { run: (args) => run(ports, args) };
}

async function run(ports: CliPorts, args: readonly string[]): Promise<number> {
  const { out, err } = ports.console;
  let exitCode: number = EXIT.done;
  const finish = (code: number) => {
    exitCode = code;
  };
  const program = new Command("understudy")
    .description("A redundant backup device in front of a tape library: backup that finishes tonight.")
    .version(ports.version, "-V, --version")
    .addHelpText("after", EXIT_HELP)
    .configureOutput({
      writeOut: out,
      writeErr: err,
      outputError: (text, write) => write(text.replace(/^error: /, "understudy: ")),
    })
    .exitOverride();
  // Commands inherit output and exitOverride from the program that makes them: set both first.
  const word = args.find((one) => !one.startsWith("-")) ?? "";
  const called = Object.hasOwn(COMMANDS, word) ? COMMANDS[word] : undefined;
  for (const load of called === undefined ? Object.values(COMMANDS) : [called]) {
    const add = await load();
    add(program, ports, finish);
  }
  if (args.length === 0) {
    err(program.helpInformation());
    return EXIT.misused;
  }
  try {
    await program.parseAsync([...args], { from: "user" });
    return exitCode;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.done : EXIT.misused;
    if (error instanceof CommandFailure) {
      err(`understudy: ${error.message}\n`);
      return error.exitCode;
    }
    err(`understudy: ${textOf(error)}\n`);
    return EXIT.failed;
  }
}

/** What the system says (a full disk, a file that may not be read) is nobody's bug: where it was said does not help. */
function textOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return "syscall" in error ? error.message : (error.stack ?? error.message);
}
