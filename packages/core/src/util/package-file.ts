import { fileURLToPath } from 'node:url'

/** A file or folder of this package, by its path from the package's root. */
export function packageFile(name: string): string {
  // This module runs as src/util/package-file.ts or bundled as dist/*.js.
  const root = import.meta.url.endsWith('.ts') ? '../../' : '../'
  return fileURLToPath(new URL(`${root}${name}`, import.meta.url))
}
