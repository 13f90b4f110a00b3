/** @module `understudy demo [DIR]`: the main job on this machine, from end to end; cli/demo/ carries it out. */
import type { Command } from "commander";
import type { CliPorts } from "../ports.ts";

const DEFAULT_DIRECTORY = "/usr/share";

export function addDemo(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("demo")
    .description("back a directory up, lose a drive on the way, read everything back and compare")
    .argument("[directory]", "what is backed up", DEFAULT_DIRECTORY)
    .option("--json", "one JSON object as the last line")
    .action(async (directory: string, options: { json?: true }) => {
      const { terminal } = ports.console;
      finish(await ports.demo({ directory, json: options.json === true, terminal }));
    });
}
