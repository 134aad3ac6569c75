import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    // What an engine's thread imports by its URL.
    'executor-entry': 'src/executor-entry.ts',
    // A rank's thread and process are opened as ./rank-thread.js and ./rank-process.js beside their chunks.
    'rank-thread': 'src/rank/rank-thread.ts',
    'rank-process': 'src/rank/rank-process.ts',
  },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  dts: { entry: { index: 'src/index.ts' } },
  splitting: true,
  sourcemap: true,
  clean: true,
  // Types come from the built packages beside this one, not from their sources.
  tsconfig: 'tsconfig.build.json',
})
