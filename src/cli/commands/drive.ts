/** @module `understudy drive return|fault|clear`: the operator's word on a real drive. */
import { type Command, InvalidArgumentError } from "commander";
import { type DriveId, isMalformed, parseDriveId } from "../../base/brands.ts";
import { type ClientOptions, clientOf } from "../client.ts";
import { EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";

function driveArgument(text: string): DriveId {
  const id = parseDriveId(text);
  if (isMalformed(id)) throw new InvalidArgumentError(`expected ${id.expected}`);
  return id;
}

export function addDrive(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  const drive = program.command("drive").description("return a failed drive to service, inject a fault");
  const say = async (options: ClientOptions, method: "POST" | "DELETE", path: string, rule?: string) => {
    const text = await clientOf(ports, options).order(
      method,
      path,
      rule === undefined ? undefined : { rule },
    );
    ports.console.out(`${text}\n`);
    finish(EXIT.done);
  };
  drive
    .command("return")
    .description("a drive that failed was mended: it may serve again")
    .argument("<id>", "the real drive's number", driveArgument)
    .option("--http <url>", "the server's API")
    .action((id: DriveId, options: ClientOptions) => say(options, "POST", `/drives/${id}/return`));
  drive
    .command("fault")
    .description('make a drive fail, as "on write 400: hardware error"')
    .argument("<id>", "the real drive's number", driveArgument)
    .argument("<rule>", "when and how")
    .option("--http <url>", "the server's API")
    .action((id: DriveId, rule: string, options: ClientOptions) =>
      say(options, "POST", `/drives/${id}/fault`, rule),
    );
  drive
    .command("clear")
    .description("take back the faults that wait in a drive")
    .argument("<id>", "the real drive's number", driveArgument)
    .option("--http <url>", "the server's API")
    .action((id: DriveId, options: ClientOptions) => say(options, "DELETE", `/drives/${id}/fault`));
}
