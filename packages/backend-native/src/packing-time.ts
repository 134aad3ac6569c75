import { InvalidConfigError } from '@octavo/core/backend'
import { readNativeEnv } from './native-env.ts'

/**
 * When weights of files are packed: after the model is loaded, in the background and on their first use, or while it is.
 */
export type PackingTime = 'deferred' | 'at-load'

const packingTimes: readonly PackingTime[] = ['deferred', 'at-load']

/**
 * The option, else OCTAVO_PACKING, else deferred.
 *
 * @throws InvalidConfigError where it is something else.
 */
export function resolvePackingTime(option: unknown, fromEnv = readNativeEnv().packing): PackingTime {
  const [name, given] = option === undefined ? ['OCTAVO_PACKING', fromEnv ?? 'deferred'] : ['packing', option]
  const time = packingTimes.find((candidate) => candidate === given)
  if (time !== undefined) return time
  throw new InvalidConfigError(name, `must be one of ${packingTimes.join(', ')}, got ${JSON.stringify(given)}`)
}
