import { createRequire } from 'node:module'

/** The version in this package's package.json, which lies one folder above `src` and `dist` alike. */
export function readVersion(): string {
  const { version } = createRequire(import.meta.url)('../package.json') as { version: string }
  return version
}
