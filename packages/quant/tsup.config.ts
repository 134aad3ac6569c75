import { defineConfig } from 'tsup'

/** What package.json exports. */
const published = { index: 'src/index.ts' }

export default defineConfig({
  entry: {
    ...published,
    // A worker's entry point: the pool opens it as ./quantize-worker.js beside its own chunk.
    'quantize-worker': 'src/gguf/quantize-worker.ts',
    // A process that measures a model's speed, opened as ./speed-process.js beside its chunk.
    'speed-process': 'src/evaluate/speed-process.ts',
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
