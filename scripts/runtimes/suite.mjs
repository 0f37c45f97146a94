// @ts-check
/**
 * Runs the compiled tests in the runtime that runs this file. mocha's own program is not used: it starts Node by itself
 * to set flags, and reads its flags in a way of Node's.
 *
 * Writes each test when it begins, so that the last line tells where a crash was; then a line for each test that did
 * not run, and at last "N passed, M failed". Ends with 1 when one failed.
 */
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import Mocha from "mocha";

const root = join(dirname(fileURLToPath(import.meta.url)), "..", "..");
const { EVENT_TEST_BEGIN, EVENT_TEST_FAIL, EVENT_TEST_PENDING, EVENT_RUN_END } = Mocha.Runner.constants;

class Lines extends Mocha.reporters.Base {
  /** @param {Mocha.Runner} runner */
  constructor(runner) {
    super(runner);
    runner.on(EVENT_TEST_BEGIN, (test) => console.log(test.fullTitle()));
    runner.on(EVENT_TEST_PENDING, (test) => console.log(`not run: ${test.fullTitle()}`));
    runner.on(EVENT_TEST_FAIL, (test, error) => console.log(`FAILED: ${test.fullTitle()}\n${describe(error)}\n`));
    runner.on(EVENT_RUN_END, () => {
      const { passes = 0, failures = 0 } = runner.stats ?? {};
      console.log(`${passes} passed, ${failures} failed`);
    });
  }
}

/** @param {Error & { showDiff?: boolean, actual?: unknown, expected?: unknown }} error */
function describe(error) {
  // Made into text by mocha before it comes here.
  const compared = error.showDiff ? `\nexpected ${error.expected}\nactual   ${error.actual}` : "";
  return `${error.stack ?? error}${compared}`;
}

const mocha = new Mocha({ timeout: 120_000, reporter: Lines });
const folder = join(root, "dist-test");
for (const file of readdirSync(folder).sort()) if (file.endsWith(".test.js")) mocha.addFile(join(folder, file));
mocha.run((failures) => process.exit(failures === 0 ? 0 : 1));
