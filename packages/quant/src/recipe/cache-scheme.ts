import { z } from 'zod'
import type { KvCacheScheme } from '../weight-scheme.ts'
import { checkFields, parseFields, refuseAt } from './recipe-error.ts'
import type { RecipePlace } from './recipe-error.ts'

const fields = {
  num_bits: z.literal(8, 'scales of a KV cache are for codes of 8 bits').default(8),
  type: z.enum(['int', 'float']).default('int'),
  symmetric: z.literal(true, 'codes of a KV cache have no zero points: it must be true').default(true),
  strategy: z.enum(['tensor', 'attn_head']).nullish(),
  dynamic: z
    .literal(false, 'scales that are found as the model runs need no calibration: leave kv_cache_scheme out')
    .default(false),
  observer: z.enum(['minmax', 'static_minmax', 'memoryless_minmax']).nullish(),
}

const foreign: Readonly<Record<string, string>> = {
  observer_kwargs: 'scales are found from the largest magnitude of all calibration tokens; leave it out',
  group_size: 'a scale is for a head or for all of them; leave it out',
  block_structure: 'a scale is for a head or for all of them; leave it out',
  actorder: 'a KV cache has no order; leave it out',
  scale_dtype: 'scales of a KV cache are float32; leave it out',
  zp_dtype: 'codes of a KV cache have no zero points; leave it out',
}

/**
 * llm-compressor's `kv_cache_scheme`; `null` where none is asked for.
 *
 * @throws InvalidConfigError naming the field
 */
export function parseCacheScheme(value: unknown, place: RecipePlace): KvCacheScheme | null {
  if (value == null) return null
  if (typeof value !== 'object' || Array.isArray(value))
    refuseAt(place, 'must be an object with "type", "strategy" and others')
  checkFields(value, { place, known: Object.keys(fields), foreign })
  const { type, strategy } = parseFields(z.object(fields), value, place)
  return { type, strategy: strategy === 'attn_head' ? 'head' : 'tensor' }
}
