import { createRequire } from 'node:module'

/** Of this package and of core, which compute together. */
export function packageVersion(): string {
  const require = createRequire(import.meta.url)
  const versionOf = (file: string): string => (require(file) as { readonly version: string }).version
  return `${versionOf('@octavo/parallel/package.json')}, core ${versionOf('@octavo/core/package.json')}`
}
