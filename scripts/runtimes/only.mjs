// @ts-check
/** What `--only` chooses. */

/**
 * Those whose name begins with one of the words; all when there are none. A word that stands for nothing ends this
 * process with code 2: a run of nothing would look like a good one.
 *
 * @template Item
 * @param {string | undefined} only Words with commas between them.
 * @param {readonly Item[]} items
 * @param {(item: Item) => string} nameOf
 * @returns {Item[]}
 */
export function chosen(only, items, nameOf) {
  if (only === undefined) return [...items];
  const beginnings = only.split(",").map((word) => word.trim());
  for (const beginning of beginnings) {
    if (beginning !== "" && items.some((item) => nameOf(item).startsWith(beginning))) continue;
    console.error(`--only: nothing begins with "${beginning}". There is: ${items.map(nameOf).join(", ")}`);
    process.exit(2);
  }
  return items.filter((item) => beginnings.some((beginning) => nameOf(item).startsWith(beginning)));
}
