/** `offheap/global` for `import`. Everything lives in the CommonJS file, so that `import` and `require` share it. */
export type { Installation, InstallOptions } from "./global.js";
export { install } from "./global.js";
