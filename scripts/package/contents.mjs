// @ts-check
/** What is in the tarball, and what is not. */
import { existsSync, readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { nameOf, TARGETS } from "../prebuild/targets.mjs";
import { command } from "../runtimes/command.mjs";
import { check, none } from "./checks.mjs";
import { filesIn } from "./tarball.mjs";

const ALLOWED = [
  /^(README|CHANGELOG|CONTRIBUTING|SECURITY)\.md$/,
  /^LICENSE$/,
  /^package\.json$/,
  /^dist\/\w+(\.d)?\.(js|mjs|ts|mts)$/,
  /^docs\/[\w-]+\.md$/,
  /^examples\/([\w-]+\/)*[\w-]+\.(mjs|md)$/,
  /^native\/(README\.md|compile\.mjs|offheap\.gypi)$/,
  /^native\/(binding|heap|os)\/\w+\.(cc|h|gypi)$/,
  /^prebuilds\/\w+-\w+\/offheap\.(napi|abi\d+)\.node$/,
];

/** Some twice of what it is with files for three platforms. */
const MOST_PACKED = 4 << 20;
const MOST_UNPACKED = 10 << 20;

/** @param {string} root The checkout. @param {import("./tarball.mjs").Tarball} tarball */
export async function checkContents(root, { file, unpacked, files }) {
  const description = JSON.parse(readFileSync(join(unpacked, "package.json"), "utf8"));

  await check("holds nothing but what is meant to be published", () => {
    none(files.filter((name) => !ALLOWED.some((pattern) => pattern.test(name))));
    return `${files.length} files`;
  });
  await check("has no .gyp file, for which package managers would compile by themselves", () => {
    none(files.filter((name) => name.endsWith(".gyp")));
    if (description.gypfile !== false) throw new Error('"gypfile" in package.json is not false');
  });
  await check("has no script that runs when it is installed", () => {
    none(["preinstall", "install", "postinstall"].filter((name) => name in description.scripts));
  });
  await check("brings no other package", () => {
    none(Object.keys(description).filter((name) => /^(optional|peer|bundled?)?dependencies$/i.test(name)));
  });
  await check("has no test and no record of a compiler", () => {
    none(files.filter((name) => /(^|\/)(dist-)?test|\.test\.|\.tsbuildinfo$/.test(name)));
  });
  await check("has each file of lib/ compiled, and no other in dist/", () => {
    const expected = new Set(filesIn(join(root, "lib")).flatMap(compiledNames));
    const there = new Set(files.filter((name) => name.startsWith("dist/")));
    none([
      ...[...expected].filter((name) => !there.has(name)).map((name) => `${name} is missing: npm run build:lib`),
      ...[...there].filter((name) => !expected.has(name)).map((name) => `${name} is of no file in lib/: remove it`),
    ]);
  });
  await check("has in dist/ what lib/ is now", async () => {
    const compiler = join(root, "node_modules", "typescript", "bin", "tsc");
    const said = await command(process.execPath, [compiler, "--build", "--dry"], { cwd: root });
    if (!said.includes("is up to date")) throw new Error("npm run build:lib");
  });
  await check("has no source map of files it does not have", () => {
    none(files.flatMap((name) => missingSources(unpacked, name)));
  });
  await check("has an addon for every target of npm run prebuild", () => {
    const platforms = [...new Set(TARGETS.map(({ platform, arch }) => `${platform}-${arch}`))];
    none(
      platforms.flatMap((platform) => {
        const wanted = TARGETS.map(nameOf).filter((name) => name.startsWith(`${platform}-`)).length;
        const there = files.filter((name) => name.startsWith(`prebuilds/${platform}/`)).length;
        return there >= wanted ? [] : [`${platform} has ${there} of ${wanted}: npm run prebuild`];
      }),
    );
    return platforms.join(", ");
  });
  await check("is small", () => {
    const packed = statSync(file).size;
    const total = files.reduce((sum, name) => sum + statSync(join(unpacked, name)).size, 0);
    const sizes = `packed ${packed >> 10} KiB of ${MOST_PACKED >> 10}, unpacked ${total >> 10} KiB of ${MOST_UNPACKED >> 10}`;
    if (packed > MOST_PACKED || total > MOST_UNPACKED) throw new Error(sizes);
    return sizes;
  });
}

/** What tsc makes of a file of lib/. @param {string} source */
function compiledNames(source) {
  return [source.replace(/ts$/, "js"), source.replace(/\.(m?)ts$/, ".d.$1ts")].map((name) => `dist/${name}`);
}

/** @param {string} unpacked @param {string} name */
function missingSources(unpacked, name) {
  if (!/\.m?[jt]s$/.test(name)) return [];
  const [, map] = /^\/\/# sourceMappingURL=(.*)$/m.exec(readFileSync(join(unpacked, name), "utf8")) ?? [];
  if (map === undefined) return [];
  const place = join(unpacked, dirname(name));
  if (!existsSync(join(place, map))) return [`${name}: ${map}`];
  const { sources } = /** @type {{ sources: string[] }} */ (JSON.parse(readFileSync(join(place, map), "utf8")));
  return sources.filter((source) => !existsSync(join(place, source))).map((source) => `${name}: ${source}`);
}
