import { defineConfig } from 'vitest/config'

// `npm test` runs each package on its own, for turbo's cache; this file serves editors and `vitest` at the root.
export default defineConfig({ test: { projects: ['packages/*', 'tests', 'bench'] } })
