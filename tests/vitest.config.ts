import { defineConfig } from 'vitest/config'

// One file at a time: each starts engines of its own.
export default defineConfig({
  test: {
    name: 'programs',
    include: ['**/*.test.ts'],
    testTimeout: 120_000,
    hookTimeout: 120_000,
    fileParallelism: false,
  },
})
