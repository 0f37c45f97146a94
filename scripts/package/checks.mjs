// @ts-check
/** Runs checks one after the other, writes a line for each and counts them. */

let passed = 0;
let failed = 0;

/**
 * @param {string} title
 * @param {() => unknown} body Throws, or rejects, when all is not well. A string it returns goes to the end of the line.
 * @returns {Promise<boolean>} Whether all is well.
 */
export async function check(title, body) {
  try {
    const found = await body();
    console.log(`ok      ${title}${typeof found === "string" ? `: ${found}` : ""}`);
    passed += 1;
    return true;
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    console.log(`FAILED  ${title}: ${reason.trim().replaceAll("\n", "\n        ")}`);
    failed += 1;
    return false;
  }
}

/** Fails with what is in the list, if anything is. @param {readonly string[]} wrong */
export function none(wrong) {
  if (wrong.length > 0) throw new Error(wrong.join("\n"));
}

/** The last line. @returns {boolean} Whether all is well. */
export function summarize() {
  console.log(`package: ${passed} passed, ${failed} failed`);
  return failed === 0;
}
