import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    'backend-api': 'src/backend-api.ts',
    testing: 'src/testing.ts',
    // A worker's entry point: the front thread opens it as ./engine-thread.js beside its own chunk.
    'engine-thread': 'src/engine/engine-thread.ts',
  },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  dts: { entry: { index: 'src/index.ts', 'backend-api': 'src/backend-api.ts', testing: 'src/testing.ts' } },
  sourcemap: true,
  splitting: true,
  treeshake: true,
  clean: true,
})
