import { resolveOptions } from '@octavo/core'
import { methodOptionTable } from './method-options.ts'
import type { MethodOptions } from './method-options.ts'
import { parseRecipe } from './parse-recipe.ts'
import { presetOf } from './quantization-args.ts'
import type { Recipe } from './recipe.ts'

const head = 'lm_head'

/** A recipe in a line: a method, a scheme, and what is left out. `parts`: what beside the layers' own linear layers is asked for. */
export function methodRecipe(options: MethodOptions, parts: { head: boolean; embedding: boolean }): Recipe {
  const { scheme, method, smoothQuant, kvCacheScales, ignore } = resolveOptions(methodOptionTable, { ...options })
  presetOf(scheme, ['scheme'])
  const selection = {
    targets: ['Linear', ...(parts.embedding ? ['Embedding'] : [])],
    ignore: [...(ignore ?? []), ...(parts.head ? [] : [head])],
  }
  const cache = kvCacheScales && { type: kvCacheScales === 'fp8' ? 'float' : 'int', strategy: 'tensor' }
  const quantizing = { scheme, ...selection, ...(cache && { kv_cache_scheme: cache }) }
  const smoothing = smoothQuant === null ? [] : [{ SmoothQuantModifier: { smoothing_strength: smoothQuant } }]
  switch (method) {
    case 'rtn':
      return parseRecipe([...smoothing, { QuantizationModifier: quantizing }])
    case 'gptq':
      return parseRecipe([...smoothing, { GPTQModifier: quantizing }])
    case 'auto-round':
      return parseRecipe([...smoothing, { AutoRoundModifier: quantizing }])
    case 'awq':
      return parseRecipe([...smoothing, { AWQModifier: quantizing }])
  }
}
