import { fileURLToPath } from 'node:url'

/** A file of this package, from its root; that lies one folder above `src` and `dist` alike. */
export function packageFile(name: string): string {
  return fileURLToPath(new URL(`../${name}`, import.meta.url))
}
