import { createRequire } from 'node:module'

/**
 * tfjs-node 4.22 calls two functions of `node:util` that Node 23 removed; this puts them back. tfjs-node looks them up
 * at each call, so it may run before or after tfjs-node is loaded.
 */
export function shimNodeUtil(): void {
  // The CommonJS object, which tfjs-node sees; an ES module's namespace cannot be written to.
  const util: unknown = createRequire(import.meta.url)('node:util')
  if (typeof util !== 'object' || util === null) return
  const missing = {
    isNullOrUndefined: (value: unknown): boolean => value === null || value === undefined,
    isArray: Array.isArray,
  }
  for (const [name, value] of Object.entries(missing)) {
    if (!(name in util)) Object.defineProperty(util, name, { value, configurable: true, writable: true })
  }
}
