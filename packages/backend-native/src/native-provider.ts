import { InvalidConfigError } from '@octavo/core/backend'
import type { BackendOptions, BackendProvider } from '@octavo/core/backend'
import { loadNativeAddon } from './native-addon.ts'
import type { Isa } from './native-addon.ts'
import { createNativePack } from './native-pack.ts'
import type { NativeOptions } from './native-pack.ts'
import { activationChoices } from './native-packed-weight.ts'
import { resolvePackingTime } from './packing-time.ts'
import { resolveThreadCount } from './thread-count.ts'

/** Before core's wasm and cpu in the choice `auto`. Engine threads look for it under this name (`EngineModule`). */
export const backendProvider: BackendProvider = {
  name: 'native',
  priority: 20,
  async probe(options) {
    const loaded = loadNativeAddon()
    if ('reason' in loaded) return { available: false, detail: loaded.reason }
    const threads = resolveThreadCount(parseOptions(options).threads)
    return {
      available: true,
      detail: `C++ kernels, ${loaded.addon.bestIsa()}, ${threads} thread${threads === 1 ? '' : 's'}`,
    }
  },
  create(options, share) {
    const { threads, ...rest } = parseOptions(options)
    return createNativePack({ ...rest, threads: resolveThreadCount(threads, undefined, share) })
  },
}

const optionNames = new Set(['threads', 'activations', 'packing', 'isa'])
const isas: readonly Isa[] = ['scalar', 'avx2', 'avx512', 'amx', 'neon', 'dotprod']

function parseOptions(options: BackendOptions = {}): NativeOptions {
  for (const name of Object.keys(options)) {
    if (!optionNames.has(name))
      throw new InvalidConfigError(name, `is not an option of native; those are ${[...optionNames].join(', ')}`)
  }
  const threads = options['threads']
  if (threads !== undefined && typeof threads !== 'number')
    throw new InvalidConfigError('threads', `must be a number, got ${JSON.stringify(threads)}`)
  const activations = oneOf('activations', options['activations'], activationChoices)
  const packing = options['packing'] === undefined ? null : resolvePackingTime(options['packing'])
  const isa = oneOf('isa', options['isa'], isas)
  return {
    ...(threads && { threads }),
    ...(activations && { activations }),
    ...(packing && { packing }),
    ...(isa && { isa }),
  }
}

function oneOf<T extends string>(name: string, value: unknown, allowed: readonly T[]): T | null {
  const found = allowed.find((candidate) => candidate === value)
  if (value !== undefined && found === undefined)
    throw new InvalidConfigError(name, `must be one of ${allowed.join(', ')}, got ${JSON.stringify(value)}`)
  return found ?? null
}
