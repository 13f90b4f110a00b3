/** @module `understudy cartridge add|export|import`: the stock of cartridges, by a running server's API, or on the library
 *  itself where no server runs. Whether one runs is asked of the state directory's lock, so that the two never meet. */
import { type Command, InvalidArgumentError, Option } from "commander";
import { Client, type ClientOptions, clientOf } from "../client.ts";
import { CommandFailure, EXIT } from "../exit.ts";
import type { CartridgeChange, CliPorts } from "../ports.ts";

interface StockOptions extends ClientOptions {
  config?: string;
  state?: string;
  barcode?: string;
  megabytes?: number;
  spare?: true;
}

/** What `add` wants; nothing of it counts for the others. */
type Wanted = Pick<CartridgeChange, "action" | "barcode" | "megabytes" | "isSpare">;

function megabytesArgument(text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1)
    throw new InvalidArgumentError("expected a whole number of megabytes, at least 1");
  return value;
}

export function addStockCommands(
  cartridge: Command,
  ports: CliPorts,
  finish: (exitCode: number) => void,
): void {
  const command = (name: string, description: string) =>
    cartridge
      .command(name)
      .description(description)
      .addOption(new Option("-c, --config <file>", "settings, as understudy.toml"))
      .option("--state <dir>", "state directory")
      .option("--http <url>", "the running server's API");
  command("add", "make a new cartridge and put it into the library")
    .option("--barcode <barcode>", "default: the next one, as UND009L8")
    .addOption(
      new Option("--megabytes <number>", "its capacity (default: as the settings say)").argParser(
        megabytesArgument,
      ),
    )
    .option("--spare", "keep it for one that fails; servers do not see it")
    .action(async (options: StockOptions) => finish(await change(ports, "add", null, options)));
  command("export", "take a cartridge out of the library; its file is kept")
    .argument("<barcode>")
    .action(async (barcode: string, options: StockOptions) =>
      finish(await change(ports, "export", barcode, options)),
    );
  command("import", "bring an exported cartridge back")
    .argument("<barcode>")
    .action(async (barcode: string, options: StockOptions) =>
      finish(await change(ports, "import", barcode, options)),
    );
}

async function change(
  ports: CliPorts,
  action: CartridgeChange["action"],
  named: string | null,
  options: StockOptions,
): Promise<number> {
  const wanted: Wanted = {
    action,
    barcode: named ?? options.barcode ?? null,
    megabytes: options.megabytes ?? null,
    isSpare: options.spare ?? false,
  };
  const say = (text: string): number => {
    ports.console.out(`${text}\n`);
    return EXIT.done;
  };
  if (options.http !== undefined) return say(await order(clientOf(ports, options), wanted));
  const request = { configFile: options.config ?? null, stateDirectory: options.state ?? null };
  const outcome = await (await ports.cartridges()).change({ ...request, ...wanted });
  switch (outcome.kind) {
    case "done":
      return say(outcome.text);
    case "failed":
      throw new CommandFailure(EXIT.failed, outcome.text);
    case "misconfigured":
      for (const line of outcome.lines) ports.console.err(`${line}\n`);
      return EXIT.misused;
    case "elsewhere": {
      const { UNDERSTUDY_HTTP: url, UNDERSTUDY_TOKEN: token } = ports.console.environment;
      const client =
        url === undefined && outcome.url !== null ? new Client(outcome.url, token) : clientOf(ports, options);
      try {
        return say(await order(client, wanted));
      } catch (error) {
        if (!(error instanceof CommandFailure) || error.exitCode !== EXIT.unreachable) throw error;
        throw new CommandFailure(EXIT.unreachable, `${outcome.why}; ${error.message}`);
      }
    }
  }
}

function order(client: Client, { action, barcode, megabytes, isSpare }: Wanted): Promise<string> {
  if (action === "add") return client.order("POST", "/cartridges", { barcode, megabytes, spare: isSpare });
  const path = `/cartridges/${encodeURIComponent(barcode ?? "")}`;
  return action === "export" ? client.order("DELETE", path) : client.order("POST", `${path}/import`);
}
