# For node-gyp in a checkout. It is not published: where it lies, npm, pnpm, yarn and bun compile when they install.
{"includes": ["native/offheap.gypi"]}
