// @ts-check
/** How old a Linux may be that still loads the addon: the versions of the C and C++ libraries that it asks for. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { command } from "../runtimes/command.mjs";
import { check, none } from "./checks.mjs";

/** glibc 2.28, with the libraries of GCC 8: what Node itself asks for since 18. */
const NEWEST = { GLIBC: "2.28", GLIBCXX: "3.4.25", CXXABI: "1.3.11", GCC: "7.0.0" };

/** @param {import("./tarball.mjs").Tarball} tarball */
export async function checkSymbolVersions({ unpacked, files }) {
  for (const name of files) {
    const file = join(unpacked, name);
    if (!name.endsWith(".node") || !isElf(file)) continue;
    await check(`${name} loads where glibc is ${NEWEST.GLIBC} or newer`, async () => {
      const needs = await versionNeeds(file);
      const above = needs.filter((need) => !isOldEnough(need));
      if (above.length > 0) none(await symbolsOf(file, above));
      return Object.keys(NEWEST)
        .map((library) => `${library} ${newest(needs, library)}`)
        .join(", ");
    });
  }
}

/** @param {string} file */
function isElf(file) {
  return readFileSync(file).subarray(0, 4).toString("latin1") === "\x7fELF";
}

/**
 * What it needs, like "GLIBC_2.17". readelf, which comes with the compiler, reads the files of any processor.
 *
 * @param {string} file
 */
async function versionNeeds(file) {
  const [, needs = ""] = (await command("readelf", ["--version-info", "--wide", file])).split("Version needs section");
  const names = [...needs.matchAll(/Name: (\w+_\S+)/g)].map(([, name = ""]) => name);
  if (names.length === 0) throw new Error("readelf found no versions that it needs");
  return [...new Set(names)];
}

/** Whether it is among those of the libraries above. "GLIBC_ABI_DT_RELR" has no number, and is not. @param {string} need */
function isOldEnough(need) {
  return Object.entries(NEWEST).some(
    ([library, version]) => need.startsWith(`${library}_`) && compare(numberOf(need), version) <= 0,
  );
}

/** @param {readonly string[]} needs @param {string} library */
function newest(needs, library) {
  return (
    needs
      .filter((need) => need.startsWith(`${library}_`))
      .map(numberOf)
      .sort(compare)
      .at(-1) ?? "-"
  );
}

/** @param {string} need */
function numberOf(need) {
  return need.slice(need.indexOf("_") + 1);
}

/** Compares versions; what is no number is above all. @param {string} left @param {string} right */
function compare(left, right) {
  const [lefts, rights] = [left, right].map((version) => version.split(".").map((part) => Number(part)));
  if (lefts === undefined || rights === undefined || lefts.includes(Number.NaN)) return 1;
  const differences = lefts.map((part, index) => part - (rights[index] ?? 0));
  return differences.find((difference) => difference !== 0) ?? lefts.length - rights.length;
}

/** The symbols that need one of these versions. @param {string} file @param {readonly string[]} versions */
async function symbolsOf(file, versions) {
  const symbols = await command("readelf", ["--dyn-syms", "--wide", file]);
  return versions.map((version) => {
    const names = [...symbols.matchAll(/ UND (\S+)@(\S+)/g)]
      .filter(([, , at]) => at === version)
      .map(([, name]) => name);
    return `${version}: ${names.join(", ")}`;
  });
}
