import { defineConfig } from 'vitest/config'

// Each test file in a process of its own: the instruction set in use is the process's.
export default defineConfig({
  test: {
    name: 'backend-native',
    include: ['src/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
  },
})
