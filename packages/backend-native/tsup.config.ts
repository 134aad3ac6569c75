import { defineConfig } from 'tsup'

export default defineConfig({
  entry: {
    index: 'src/index.ts',
    // What an engine thread imports: `nativeBackend` names it by its URL.
    'native-provider': 'src/native-provider.ts',
  },
  format: 'esm',
  platform: 'node',
  target: 'node22',
  dts: { entry: { index: 'src/index.ts' } },
  sourcemap: true,
  splitting: true,
  treeshake: true,
  clean: true,
})
