import { defineConfig } from 'tsup'

export default defineConfig({
  entry: { index: 'src/index.ts', 'mpi-probe': 'src/mpi/mpi-probe.ts' },
  format: 'esm',
  target: 'node22',
  platform: 'node',
  dts: true,
  sourcemap: true,
  clean: true,
  // Types come from the built packages beside this one, not from their sources.
  tsconfig: 'tsconfig.build.json',
})
