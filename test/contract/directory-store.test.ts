/** @module A store in a directory keeps the contract. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initStore, openStore } from "../../src/backup/store/open.ts";
import { good, TEST_COMPUTER } from "../../src/backup/store/testing.ts";
import { storeContract } from "./store-contract.ts";

storeContract("directory", () => {
  const folder = mkdtempSync(join(tmpdir(), "understudy-store-contract-"));
  const directory = join(folder, "store");
  good(initStore({ directory, computer: TEST_COMPUTER, capacityBytes: null, nowMs: 0 }));
  return {
    write: () => good(openStore({ directory, computer: TEST_COMPUTER, write: true })),
    read: () => good(openStore({ directory, computer: TEST_COMPUTER, write: false })),
    end: () => rmSync(folder, { recursive: true, force: true }),
  };
});
