// @ts-check
/** The README's first example, as a program. */
import { readFileSync } from "node:fs";
import { join } from "node:path";

/**
 * @typedef {object} Example
 * @property {string} imported A module, as it stands there.
 * @property {string} required The same as CommonJS.
 * @property {readonly string[]} printed What its calls of console.log print, by the comments behind them.
 */

/** @param {string} root The checkout. @returns {Example} */
export function firstExample(root) {
  const text = readFileSync(join(root, "README.md"), "utf8").replaceAll("\r\n", "\n");
  const [, imported] = /^```js\n(.*?)^```/ms.exec(text) ?? [];
  if (imported === undefined) throw new Error("README.md has no example");
  const required = imported.replace(
    /^import \{([^}]*)\} from ("[^"]*");$/gm,
    (_, names, from) => `const {${names.replaceAll(" as ", ": ")}} = require(${from});`,
  );
  if (/^import /m.test(required) || required === imported) {
    throw new Error("README.md's first example has no imports, or others than of names");
  }
  const printed = [...imported.matchAll(/console\.log\(.*\);\s*\/\/ (.*?)\s*$/gm)].map(([, line = ""]) => line);
  if (printed.length === 0) throw new Error("README.md's first example does not say what it prints");
  return { imported, required, printed };
}
