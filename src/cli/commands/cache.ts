/** @module `understudy cache replace`: the operator put a new disk in a lost one's place. */
import { type Command, InvalidArgumentError } from "commander";
import { type ClientOptions, clientOf } from "../client.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";

function memberArgument(text: string): number {
  const member = Number(text);
  if (!Number.isInteger(member) || member < 1)
    throw new InvalidArgumentError("expected the member's number, from 1");
  return member;
}

export function addCache(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("cache")
    .description("put a new disk in a lost one's place")
    .command("replace")
    .description("the disk at a lost member's path is a new, empty one: rebuild it while the work goes on")
    .argument("<device>", "the virtual drive's name, as drive-1")
    .argument(
      "<member>",
      "number of the member, from 1, as `understudy status --json` lists them",
      memberArgument,
    )
    .option("--http <url>", "the server's API")
    .action(async (device: string, member: number, options: ClientOptions) => {
      const path = `/devices/${encodeURIComponent(device)}/cache/${member}/replace`;
      ports.console.out(`${await clientOf(ports, options).order("POST", path)}\n`);
      finish(EXIT.done);
    });
}
