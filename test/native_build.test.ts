/** What the compiler says where a variant must not be built. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect } from "chai";
import { PACKAGE_ROOT } from "./child_process.js";

describe("the V8 variant", () => {
  for (const macro of ["V8_ENABLE_SANDBOX", "V8_COMPRESS_POINTERS"]) {
    it(`refuses to compile with headers that declare ${macro}, and says what to build`, function () {
      // The addon for Windows is compiled on Linux or by another compiler, with other flags.
      if (process.platform === "win32") this.skip();
      const source = join(PACKAGE_ROOT, "native", "binding", "array_buffers_v8.cc");
      const { status, stderr, error } = spawnSync(process.env.CXX ?? "g++", ["-E", `-D${macro}`, source], {
        encoding: "utf8",
      });
      if (error !== undefined) throw error;
      expect(status).to.not.equal(0);
      expect(stderr).to.match(/needs a V8 without sandbox and pointer cage.*node-gyp rebuild --buffers=napi/);
    });
  }
});
