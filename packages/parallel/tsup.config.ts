import { defineConfig } from 'tsup'

/** What package.json exports. */
const published = { index: 'src/index.ts', 'executor-api': 'src/executor-api.ts' }

export default defineConfig({
  entry: {
    ...published,
    // What an engine's thread imports by its URL.
    'executor-entry': 'src/executor-entry.ts',
    // A rank's thread and process are opened as ./rank-thread.js and ./rank-process.js beside their chunks.
    'rank-thread': 'src/rank/rank-thread.ts',
    'rank-process': 'src/rank/rank-process.ts',
    // A process of its own, which looks at one MPI library.
    'mpi-probe': 'src/mpi/mpi-probe.ts',
  },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  dts: { entry: published },
  splitting: true,
  sourcemap: true,
  clean: true,
  // Types come from the built packages beside this one, not from their sources.
  tsconfig: 'tsconfig.build.json',
})
