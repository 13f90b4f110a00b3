/** @module `understudy retry DEVICE`: the operator lets a halted device go on. */
import type { Command } from "commander";
import { isMalformed, parseDriveId } from "../../base/brands.ts";
import { type ClientOptions, clientOf } from "../client.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";

interface RetryOptions extends ClientOptions {
  drive?: string;
  cartridge?: string;
}

export function addRetry(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  program
    .command("retry")
    .description("let a halted device go on, with this drive or this cartridge")
    .argument("<device>", "the virtual drive's name, as drive-1")
    .option("--drive <id>", "go on with this real drive")
    .option("--cartridge <barcode>", "go on with this cartridge")
    .option("--http <url>", "the server's API")
    .action(async (device: string, options: RetryOptions) => {
      const drive = options.drive === undefined ? null : parseDriveId(options.drive);
      if (isMalformed(drive)) throw new CommandFailure(EXIT.misused, `--drive: expected ${drive.expected}`);
      const body = { device, drive, cartridge: options.cartridge ?? null };
      ports.console.out(`${await clientOf(ports, options).order("POST", "/operator/retry", body)}\n`);
      finish(EXIT.done);
    });
}
