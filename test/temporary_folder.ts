import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A new, empty folder for one test. */
export function makeFolder(): string {
  return mkdtempSync(join(tmpdir(), "offheap-"));
}

/** Removes it with all that is in it. Windows keeps a library that was loaded from it, and its folder, until the end. */
export function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true });
  } catch (error) {
    if (process.platform !== "win32") throw error;
  }
}
