import { defineConfig } from 'vitest/config'

// Where a test names no backend, the same one on every machine, whether TensorFlow is linked there or not.
const env = { OCTAVO_BACKEND: 'wasm' }

export default defineConfig({
  test: { name: 'core', include: ['src/**/*.test.ts'], testTimeout: 60_000, hookTimeout: 120_000, env },
})
