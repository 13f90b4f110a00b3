/** @module `understudy cartridge list|read`: cartridge files by themselves, without a server. The rest of `cartridge` is in
 *  cartridge-stock.ts. */
import { createHash } from "node:crypto";
import { type Command, InvalidArgumentError, Option } from "commander";
import { formatBytes, formatCount } from "../../base/units.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CliPorts } from "../ports.ts";
import { table } from "../table.ts";
import { addStockCommands } from "./cartridge-stock.ts";

interface ReadOptions {
  file?: number;
  records?: true;
  json?: true;
}

function fileArgument(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 0)
    throw new InvalidArgumentError("expected a file number, 0 or more");
  return value;
}

export function addCartridge(program: Command, ports: CliPorts, finish: (exitCode: number) => void): void {
  const cartridge = program
    .command("cartridge")
    .description("look into cartridge files; add and take out cartridges");
  addStockCommands(cartridge, ports, finish);
  cartridge
    .command("list")
    .description("what a cartridge file, or each one of a directory, holds")
    .argument("<path>", "a cartridge file or a directory of them")
    .option("--json", "as JSON")
    .action(async (path: string, options: { json?: true }) =>
      finish(await list(ports, path, options.json === true)),
    );
  cartridge
    .command("read")
    .description("write a tape file's blocks to standard output, as dd would")
    .argument("<path>", "a cartridge file")
    .addOption(
      new Option("--file <number>", "only the tape file after so many filemarks").argParser(fileArgument),
    )
    .option("--records", "a line a record instead: position, kind, bytes, SHA-256")
    .option("--json", "with --records: as JSON lines")
    .action(async (path: string, options: ReadOptions) => finish(await read(ports, path, options)));
}

async function list(ports: CliPorts, path: string, json: boolean): Promise<number> {
  const { console: io } = ports;
  const entries = (await ports.cartridges()).list(path);
  const cartridges = entries.filter((entry) => entry.kind === "cartridge");
  const faults = entries.filter((entry) => entry.kind === "fault");
  if (json) {
    io.out(`${JSON.stringify({ cartridges, faults }, null, 2)}\n`);
  } else if (cartridges.length > 0) {
    io.out(
      table(
        [
          { heading: "barcode" },
          { heading: "serial" },
          { heading: "blocks", align: "right" },
          { heading: "filemarks", align: "right" },
          { heading: "used", align: "right" },
          { heading: "capacity", align: "right" },
          { heading: "protected" },
          { heading: "file" },
        ],
        cartridges.map((one) => [
          one.barcode,
          one.serial,
          formatCount(one.blocks),
          formatCount(one.filemarks),
          formatBytes(one.usedBytes),
          formatBytes(one.capacityBytes),
          one.writeProtected ? "yes" : "no",
          one.path,
        ]),
        io.terminal,
      ),
    );
  }
  for (const fault of faults) io.err(`understudy: ${fault.text}\n`);
  if (entries.length === 0) throw new CommandFailure(EXIT.failed, `${path}: no cartridge files there`);
  return faults.length > 0 ? EXIT.failed : EXIT.done;
}

async function read(ports: CliPorts, path: string, options: ReadOptions): Promise<number> {
  const { console: io } = ports;
  if (options.records !== true && io.terminal) {
    throw new CommandFailure(
      EXIT.misused,
      "standard output is a terminal; redirect it, or ask for --records",
    );
  }
  let fileNumber = 0;
  const cartridges = await ports.cartridges();
  for (const record of cartridges.read(path)) {
    if (record.kind === "fault") throw new CommandFailure(EXIT.failed, record.text);
    const wanted = options.file === undefined || options.file === fileNumber;
    if (wanted) {
      if (options.records !== true) {
        if (record.kind === "block" && !io.outBytes(record.data)) return EXIT.done;
      } else {
        const { kind, position } = record;
        const block =
          record.kind === "block"
            ? { bytes: record.data.length, sha256: createHash("sha256").update(record.data).digest("hex") }
            : null;
        io.out(
          options.json === true
            ? `${JSON.stringify({ position, fileNumber, kind, ...block })}\n`
            : `${position}\t${fileNumber}\t${kind}${block === null ? "" : `\t${block.bytes}\t${block.sha256}`}\n`,
        );
      }
    }
    if (record.kind === "filemark") {
      fileNumber++;
      if (options.file !== undefined && fileNumber > options.file) break;
    }
  }
  if (options.file !== undefined && fileNumber < options.file) {
    throw new CommandFailure(
      EXIT.failed,
      `${path}: there is no tape file ${options.file}, the last is ${fileNumber}`,
    );
  }
  return EXIT.done;
}
