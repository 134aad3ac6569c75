import { timingSafeEqual } from 'node:crypto'
import type { Authenticate } from '../authenticate.ts'
import { type ApiKeyOptions, resolveApiKeys, sha256Of } from './api-key.ts'
import { KeyMeter } from './key-meter.ts'
import { presentedKey } from './presented-key.ts'

interface HeldKey {
  readonly sha256: Buffer
  tenant: string
  readonly meter: KeyMeter
}

/** Keys that may change while the server runs: `createApp({ engine, authenticate: ring.authenticate })`. */
export class KeyRing {
  #keys: readonly HeldKey[]

  /** @throws InvalidConfigError for an entry that is none; no key is quoted */
  constructor(keys: readonly (string | ApiKeyOptions)[]) {
    this.#keys = []
    this.replace(keys)
  }

  get size(): number {
    return this.#keys.length
  }

  /** Other keys from now on. One that stays keeps what it has used; if one of the new is wrong, all stay as they were. @throws InvalidConfigError */
  replace(keys: readonly (string | ApiKeyOptions)[]): void {
    this.#keys = resolveApiKeys(keys).map(({ sha256, tenant, limits }) => {
      const known = this.#keys.find((held) => held.sha256.equals(sha256))
      if (known === undefined) return { sha256, tenant, meter: new KeyMeter(limits) }
      known.meter.setLimits(limits)
      return { sha256, tenant, meter: known.meter }
    })
  }

  readonly authenticate: Authenticate = ({ headers }) => {
    const presented = presentedKey(headers)
    if (presented === null) return null
    const digest = sha256Of(presented)
    // Comparing digests of equal length, and always all of them, tells a guesser nothing by its time.
    const [match] = this.#keys.filter(({ sha256 }) => timingSafeEqual(sha256, digest))
    return match === undefined ? null : { tenant: match.tenant, meter: match.meter }
  }
}
