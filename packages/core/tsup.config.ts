import { defineConfig } from 'tsup'

/** What package.json exports. */
const published = {
  index: 'src/index.ts',
  'backend-api': 'src/backend-api.ts',
  'engine-api': 'src/engine-api.ts',
  'loading-api': 'src/loading-api.ts',
  'model-api': 'src/model-api.ts',
  'ops-api': 'src/ops-api.ts',
  'quantization-api': 'src/quantization-api.ts',
  tensorflow: 'src/tensorflow-api.ts',
  testing: 'src/testing.ts',
  'tokenizer-api': 'src/tokenizer-api.ts',
}

export default defineConfig({
  entry: {
    ...published,
    // A worker's entry point: the front thread opens it as ./engine-thread.js beside its own chunk.
    'engine-thread': 'src/engine/engine-thread.ts',
    // Likewise, for the thread that encodes long texts.
    'tokenizer-worker': 'src/engine/tokenizer-worker.ts',
    // For the one that makes grammars of schemas, patterns and tools.
    'grammar-translator-worker': 'src/engine/grammar-translator-worker.ts',
    // And for those that grammars live in.
    'grammar-worker': 'src/structured-output/grammar-worker.ts',
    // What such a thread imports by its URL.
    'tensorflow-provider': 'src/backends/tensorflow/tensorflow-provider.ts',
    // A process of its own: linking starts it as ./tensorflow-verification.js beside its chunk.
    'tensorflow-verification': 'src/backends/tensorflow/link/verification.ts',
  },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  dts: { entry: published },
  sourcemap: true,
  splitting: true,
  treeshake: true,
  clean: true,
})
