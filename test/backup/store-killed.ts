/** @module A process for store-killed.test.ts: changes a store as it is told and ends itself, the hard way, before one of
 *  its steps. Arguments: directory, steps it may do, "pare" and numbers, or "mark" and a number. */
import { Folder } from "../../src/backup/prune/fold.ts";
import { openStore } from "../../src/backup/store/open.ts";
import { good, TEST_COMPUTER } from "../../src/backup/store/testing.ts";

const [directory = "", steps = "0", what, ...numbers] = process.argv.slice(2);
let left = Number(steps);
const store = good(
  openStore({
    directory,
    computer: TEST_COMPUTER,
    write: true,
    hook: () => {
      if (left-- === 0) process.kill(process.pid, "SIGKILL");
    },
  }),
);
if (what === "pare") good(new Folder(store, store).pare(numbers.map(Number)));
else good(store.mark(Number(numbers[0]), { pinned: true, verified: null }));
store.close();
