import { createRequire } from 'node:module'

/**
 * tfjs-node 4.22 calls two functions of `node:util` that Node 23 removed or warns of at every start; this puts ones in
 * their place that say the same. tfjs-node looks them up at each call, so it may run before or after tfjs-node is loaded.
 */
export function shimNodeUtil(): void {
  // The CommonJS object, which tfjs-node sees; an ES module's namespace cannot be written to.
  const util: unknown = createRequire(import.meta.url)('node:util')
  if (typeof util !== 'object' || util === null) return
  const define = (name: string, value: unknown): void =>
    void Object.defineProperty(util, name, { value, configurable: true, writable: true, enumerable: true })
  // Node's own is this function behind a warning.
  define('isArray', Array.isArray)
  if (!('isNullOrUndefined' in util))
    define('isNullOrUndefined', (value: unknown): boolean => value === null || value === undefined)
}
