/** @module The command line: one file a command, joined here. Errors are one line to standard error: what, where, what
 *  to do. `run` resolves with the exit code and never throws; the caller ends the process with it at once
 *  (`process.exit`), since a server that was told to quit may still be draining. */
import { Command, CommanderError } from "commander";
import { addBackup } from "./commands/backup.ts";
import { addCache } from "./commands/cache.ts";
import { addCartridge } from "./commands/cartridge.ts";
import { addDemo } from "./commands/demo.ts";
import { addDiff } from "./commands/diff.ts";
import { addDoctor } from "./commands/doctor.ts";
import { addDrive } from "./commands/drive.ts";
import { addEvents } from "./commands/events.ts";
import { addFind } from "./commands/find.ts";
import { addList } from "./commands/list.ts";
import { addPare } from "./commands/pare.ts";
import { addPin } from "./commands/pin.ts";
import { addPlan } from "./commands/plan.ts";
import { addRestore } from "./commands/restore.ts";
import { addRetry } from "./commands/retry.ts";
import { addServe } from "./commands/serve.ts";
import { addStatus } from "./commands/status.ts";
import { addStore } from "./commands/store.ts";
import { addVerify } from "./commands/verify.ts";
import { addVersions } from "./commands/versions.ts";
import { CommandFailure, EXIT, EXIT_HELP } from "./exit.ts";
import type { CliPorts } from "./ports.ts";

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
  const commands = [
    addServe,
    addStatus,
    addEvents,
    addDrive,
    addCache,
    addRetry,
    addCartridge,
    addDoctor,
    addStore,
    addBackup,
    addRestore,
    addVerify,
    addList,
    addVersions,
    addDiff,
    addFind,
    addPare,
    addPin,
  ];
  for (const add of [...commands, addPlan, addDemo]) {
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
    err(`understudy: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return EXIT.failed;
  }
}
