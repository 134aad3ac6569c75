import { InvalidConfigError } from '@octavo/core/backend'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import type { LayerPass } from '../decoder-layer.ts'
import { definePass } from '../decoder-layer.ts'
import { methodRecipe } from './method-recipe.ts'
import { defineModifier } from './modifier-table.ts'
import type { ModifierTable } from './modifier-table.ts'
import { parseRecipe, parseRecipeText } from './parse-recipe.ts'
import { resolveGroups } from './quantization-args.ts'
import { schemePresets } from './schemes.ts'

interface Identity {
  readonly name: string
  readonly options: {
    readonly scheme: unknown
    readonly plan?: { readonly scheme: unknown; readonly targets: unknown; readonly ignore: unknown }
    readonly activations?: unknown
    readonly targets?: unknown
    readonly ignore?: unknown
    readonly solver?: unknown
  }
}

const identityOf = (pass: LayerPass): Identity => pass.identity as Identity
const namesOf = (passes: readonly LayerPass[]): string[] => passes.map((pass) => identityOf(pass).name)

describe('parseRecipe', () => {
  it('takes llm-compressor’s stages', () => {
    const { passes, selects } = parseRecipeText(`
      quant_stage:
        quant_modifiers:
          GPTQModifier:
            targets: [Linear]
            ignore: [lm_head, "re:.*router.*"]
            scheme: W8A8
            dampening_frac: 0.02
            actorder: weight
    `)
    expect(namesOf(passes)).toEqual(['gptq'])
    expect(passes[0]!.needsCalibration).toBe(true)
    const { plan, solver } = identityOf(passes[0]!).options
    expect(plan).toMatchObject({ ...schemeOf('W8A8'), targets: ['Linear'], ignore: ['lm_head', 're:.*router.*'] })
    expect(solver).toEqual({ order: 'static', dampening: 0.02, blockSize: 128 })
    expect(selects({ name: 'lm_head', role: 'head' })).toBe(false)
    expect(selects({ name: 'model.layers.0.mlp.down_proj', role: 'linear' })).toBe(true)
  })

  it('takes JSON, modifiers without stages, lists of them, and objects, in their order', () => {
    const rtn = { QuantizationModifier: { scheme: 'W4A16' } }
    for (const recipe of [
      parseRecipeText(JSON.stringify(rtn)),
      parseRecipe(rtn),
      parseRecipe([rtn]),
      parseRecipe({ first_stage: { a_modifiers: rtn } }),
      parseRecipe({ quant_modifiers: rtn }),
    ])
      expect(recipe.passes.map(identityOf)).toEqual([
        { name: 'roundToNearest', options: expect.objectContaining(schemeOf('W4A16')) },
      ])
    const two = parseRecipe([{ GPTQModifier: { scheme: 'W4A16', targets: 're:.*mlp.*' } }, rtn])
    expect(namesOf(two.passes)).toEqual(['gptq', 'roundToNearest'])
    expect(two.selects({ name: 'lm_head', role: 'head' })).toBe(true)
  })

  it('makes a pass for each config group, those that name modules first', () => {
    const { passes } = parseRecipe({
      QuantizationModifier: {
        ignore: ['lm_head'],
        config_groups: {
          group_0: { targets: ['Linear'], weights: { num_bits: 4, group_size: 64, symmetric: false, observer: 'mse' } },
          group_1: {
            targets: ['re:.*down_proj$'],
            weights: { num_bits: 8, strategy: 'channel', actorder: null, observer_kwargs: {}, group_size: null },
            input_activations: { num_bits: 8, dynamic: true },
          },
        },
      },
    })
    const [down, others] = passes.map((pass) => identityOf(pass).options)
    expect(down).toMatchObject({
      scheme: { numBits: 8, strategy: 'channel', groupSize: null, isSymmetric: true },
      activations: { numBits: 8, strategy: 'token', isDynamic: true },
      ignore: ['lm_head'],
    })
    expect(others).toMatchObject({
      scheme: { numBits: 4, strategy: 'group', groupSize: 64, isSymmetric: false, observer: 'mse' },
      activations: null,
      ignore: ['lm_head', 're:.*down_proj$'],
    })
  })

  it('takes several schemes by their targets', () => {
    const { passes } = parseRecipe({
      QuantizationModifier: { scheme: { W4A16: ['Linear'], W8A16: ['model.layers.0.q'] } },
    })
    expect(passes.map((pass) => identityOf(pass).options)).toMatchObject([
      { ...schemeOf('W8A16'), targets: ['model.layers.0.q'] },
      { ...schemeOf('W4A16'), targets: ['Linear'], ignore: ['model.layers.0.q'] },
    ])
  })
})

describe('transforms', () => {
  it('go before what quantizes, and AWQ searches with its scheme', () => {
    const { passes, selects } = parseRecipeText(`
      quant_stage:
        quant_modifiers:
          SmoothQuantModifier:
            smoothing_strength: 0.7
            mappings: [[['re:.*q_proj', 're:.*k_proj', 're:.*v_proj'], 're:.*input_layernorm']]
          AWQModifier: { duo_scaling: both, mappings: [{ smooth_layer: 're:.*up_proj', balance_layers: ['re:.*down_proj'] }] }
          QuantizationModifier: { scheme: W4A16_ASYM, ignore: [lm_head] }
    `)
    expect(namesOf(passes)).toEqual(['smoothQuant', 'awqTransform', 'roundToNearest'])
    expect(identityOf(passes[0]!).options).toMatchObject({ smoothingStrength: 0.7 })
    expect(identityOf(passes[1]!).options).toMatchObject({
      plan: { ...schemeOf('W4A16_ASYM'), ignore: ['lm_head'] },
      duoScaling: 'both',
      mappings: [{ smoothLayer: 're:.*up_proj', balanceLayers: ['re:.*down_proj'] }],
    })
    expect(selects({ name: 'lm_head', role: 'head' })).toBe(false)
  })

  it('AWQ with a scheme of its own quantizes', () => {
    const { passes, selects } = parseRecipe({ AWQModifier: { scheme: 'W4A16', ignore: ['lm_head'] } })
    expect(namesOf(passes)).toEqual(['awq'])
    expect(selects({ name: 'model.layers.0.mlp.up_proj', role: 'linear' })).toBe(true)
  })

  it.each([
    ['W8A8', {}, true, 1], // rows have one scale
    ['W4A16', {}, false, 0],
    ['W8A8', { clip: false }, false, 0],
    ['W8A8', { refine: 3 }, true, 3],
    ['W4A16', { clip: true }, true, 0],
  ])('AWQ to %s with %o: clip is %s, refine %d', (scheme, given, clip, refine) => {
    const { passes } = parseRecipe({ AWQModifier: { scheme, ...given } })
    expect(identityOf(passes[0]!).options).toMatchObject({ options: { clip, refine } })
  })

  it('AWQ without any scheme is refused', () => {
    expect(() => parseRecipe([{ AWQModifier: {} }])).toThrow(/AWQModifier: has no "scheme", and no modifier behind it/)
  })

  it.each(['rtn', 'gptq', 'awq', 'auto-round'] as const)('%s is a method in a line', (method) => {
    const { passes } = methodRecipe({ method, smoothQuant: 0.5 }, { head: false, embedding: false })
    expect(namesOf(passes)[0]).toBe('smoothQuant')
    expect(passes).toHaveLength(2)
  })
})

describe('what is wrong in a recipe', () => {
  const modifier = (fields: object): object => ({ quant_stage: { quant_modifiers: { GPTQModifier: fields } } })
  const at = 'quant_stage\\.quant_modifiers\\.GPTQModifier'

  it.each<[string, unknown, RegExp]>([
    [
      'an unknown modifier',
      { GPTQModifer: {} },
      /^GPTQModifer: there is no modifier of this name; did you mean "GPTQModifier"\?/,
    ],
    [
      'an unknown field',
      modifier({ scheme: 'W4A16', dampning_frac: 1 }),
      new RegExp(`^${at}\\.dampning_frac: .*did you mean "dampening_frac"\\?`),
    ],
    [
      'an unknown scheme',
      modifier({ scheme: 'w4a16' }),
      new RegExp(`^${at}\\.scheme: there is no scheme "w4a16"; did you mean "W4A16"\\?`),
    ],
    [
      'a scheme with scales of inputs from calibration',
      modifier({ scheme: 'FP8' }),
      /FP8 can't be made here: .*FP8_DYNAMIC/,
    ],
    ['no scheme', modifier({}), new RegExp(`^${at}: must have one of "scheme" and "config_groups"`)],
    ['two schemes', modifier({ scheme: 'W4A16', config_groups: {} }), /must have one of/],
    [
      'a value of another type',
      modifier({ scheme: 'W4A16', block_size: 'many' }),
      new RegExp(`^${at}\\.block_size: .*expected number`),
    ],
    [
      'a field that means nothing here',
      modifier({ scheme: 'W4A16', offload_hessians: true }),
      /offload_hessians: .*maxActivationMemory/,
    ],
    [
      'outputs',
      modifier({ config_groups: { a: { targets: ['Linear'], weights: {}, output_activations: {} } } }),
      /a\.output_activations: outputs are not quantized/,
    ],
    [
      'static inputs',
      modifier({ config_groups: { a: { targets: ['Linear'], weights: {}, input_activations: { dynamic: false } } } }),
      /input_activations\.dynamic: .*must be true/,
    ],
    [
      'an unknown field of a group',
      modifier({ config_groups: { a: { targets: ['Linear'], wieghts: {} } } }),
      /a\.wieghts: .*did you mean "weights"/,
    ],
    [
      'an unknown field of weights',
      modifier({ config_groups: { a: { targets: ['Linear'], weights: { bits: 4 } } } }),
      /weights\.bits: .*did you mean "num_bits"|weights\.bits: there is no field/,
    ],
    [
      'groups without a size',
      modifier({ config_groups: { a: { targets: ['Linear'], weights: { strategy: 'group' } } } }),
      /groups need a "group_size"/,
    ],
    [
      'floats of other widths',
      modifier({ config_groups: { a: { targets: ['Linear'], weights: { type: 'float', num_bits: 6 } } } }),
      /num_bits: floats have 4 bits/,
    ],
    ['something beside stages', { quant_stage: {}, other: {} }, /^other: stands beside stages/],
    ['no modifiers', {}, /^recipe: has no modifiers; known are QuantizationModifier/],
    ['no object', 'GPTQ', /^recipe: must be an object of stages/],
    ['a modifier that is no object', { GPTQModifier: 4 }, /^GPTQModifier: must be an object of its fields/],
    [
      'a pattern that is none',
      modifier({ scheme: 'W4A16', ignore: ['re:(('] }),
      /ignore: the pattern "\(\(" for names/,
    ],
  ])('%s', (_, recipe, message) => {
    expect(() => parseRecipe(recipe)).toThrow(message)
    expect(() => parseRecipe(recipe)).toThrow(InvalidConfigError)
  })

  it('text that is no YAML', () => {
    expect(() => parseRecipeText('a: [')).toThrow(/^recipe: is neither YAML nor JSON/)
    expect(() => parseRecipeText('a: &a [1]\nb: *c')).toThrow(/is neither YAML nor JSON/)
    expect(() => parseRecipeText('x'.repeat(1024 * 1024 + 1))).toThrow(/at most 1048576 are read/)
  })
})

describe('kv_cache_scheme', () => {
  const cache = { num_bits: 8, type: 'float', strategy: 'tensor', dynamic: false, symmetric: true }
  const parse = (more: object): readonly LayerPass[] =>
    parseRecipe({ QuantizationModifier: { kv_cache_scheme: { ...cache, ...more } } }).passes

  it.each(['QuantizationModifier', 'GPTQModifier', 'AWQModifier', 'AutoRoundModifier'])(
    'of %s is a pass behind all others',
    (modifier) => {
      const { passes } = parseRecipe([
        { [modifier]: { scheme: 'W4A16', targets: 're:.*mlp.*', kv_cache_scheme: cache } },
        { QuantizationModifier: { scheme: 'W8A16' } },
      ])
      expect(passes).toHaveLength(3)
      expect(identityOf(passes[2]!)).toEqual({ name: 'kvCacheScales', options: { type: 'float', strategy: 'tensor' } })
      expect(passes[2]!.needsCalibration).toBe(true)
    },
  )

  it('may be all that a modifier has, and is null where tools write nothing', () => {
    const byHead = parse({
      type: 'int',
      strategy: 'attn_head',
      observer: 'minmax',
      observer_kwargs: {},
      group_size: null,
    })
    expect(byHead.map(identityOf)).toEqual([{ name: 'kvCacheScales', options: { type: 'int', strategy: 'head' } }])
    const none = parseRecipe({ QuantizationModifier: { scheme: 'W4A16', kv_cache_scheme: null } })
    expect(namesOf(none.passes)).toEqual(['roundToNearest'])
    expect(() => parseRecipe({ QuantizationModifier: { kv_cache_scheme: null } })).toThrow(/one of "scheme"/)
  })

  it.each([
    [{ num_bits: 4 }, /kv_cache_scheme\.num_bits: scales of a KV cache are for codes of 8 bits/],
    [{ dynamic: true }, /kv_cache_scheme\.dynamic: .*leave kv_cache_scheme out/],
    [{ symmetric: false }, /kv_cache_scheme\.symmetric: codes of a KV cache have no zero points/],
    [{ strategy: 'token' }, /kv_cache_scheme\.strategy: /],
    [{ group_size: 64 }, /kv_cache_scheme\.group_size: a scale is for a head/],
    [{ strategie: 'tensor' }, /there is no field of this name; did you mean "strategy"/],
  ])('refuses %o', (more, message) => {
    expect(() => parse(more)).toThrow(message)
    expect(() => parse(more)).toThrow(InvalidConfigError)
  })

  it('is said once', () => {
    const modifier = { scheme: 'W4A16', kv_cache_scheme: cache }
    expect(() => parseRecipe([{ GPTQModifier: modifier }, { QuantizationModifier: modifier }])).toThrow(
      /QuantizationModifier\.kv_cache_scheme: is said by a modifier before it too/,
    )
  })
})

describe('modifiers of a table', () => {
  it('are given their fields, parsed, and say what they select', () => {
    const seen: unknown[] = []
    const table: ModifierTable = {
      Mine: defineModifier({
        fields: z.object({ strength: z.number().default(0.5) }),
        foreign: { speed: 'has no meaning; leave it out' },
        create(args, { place }) {
          seen.push([args, place])
          return { passes: [definePass({ name: 'mine', options: args }, () => {})], selects: null }
        },
      }),
    }
    const { passes, selects } = parseRecipe({ my_stage: { Mine: null } }, table)
    expect(seen).toEqual([[{ strength: 0.5 }, ['my_stage', 'Mine']]])
    expect(namesOf(passes)).toEqual(['mine'])
    expect(selects({ name: 'lm_head', role: 'head' })).toBe(false)
    expect(() => parseRecipe({ Mine: { speed: 1 } }, table)).toThrow('Mine.speed: has no meaning; leave it out')
  })
})

describe('presets', () => {
  it.each(Object.keys(schemePresets))('%s is a scheme that weights can have', (scheme) => {
    expect(() => parseRecipe({ QuantizationModifier: { scheme } })).not.toThrow()
  })

  it('are compressed-tensors’', () => {
    const { W4A16_ASYM, W8A8, INT8, W4AFP8, FP8_BLOCK, NVFP4A16, MXFP4 } = schemePresets
    expect(W4A16_ASYM.weights).toMatchObject({ numBits: 4, isSymmetric: false, groupSize: 128 })
    expect(W8A8).toMatchObject({
      weights: { numBits: 8, strategy: 'channel' },
      inputActivations: { strategy: 'token' },
    })
    expect(INT8).toBe(W8A8)
    expect(W4AFP8.inputActivations).toMatchObject({ numBits: 8, type: 'float', isDynamic: true })
    expect(FP8_BLOCK.weights).toMatchObject({ type: 'float', strategy: 'block', blockShape: [128, 128] })
    expect(NVFP4A16.weights).toMatchObject({ numBits: 4, type: 'float', groupSize: 16, scaleDtype: 'e4m3' })
    expect(MXFP4.weights).toMatchObject({ groupSize: 32, scaleDtype: 'e8m0' })
  })
})

describe('methodRecipe', () => {
  const layersOnly = { head: false, embedding: false }

  it('is a recipe in a line: GPTQ to int4, the head left out', () => {
    const { passes, selects } = methodRecipe({}, layersOnly)
    expect(namesOf(passes)).toEqual(['gptq'])
    expect(identityOf(passes[0]!).options.plan).toMatchObject({ ...schemeOf('W4A16'), ignore: ['lm_head'] })
    expect(selects({ name: 'lm_head', role: 'head' })).toBe(false)
  })

  it('works on head and embedding where they are asked for', () => {
    const { selects } = methodRecipe(
      { method: 'rtn', scheme: 'W8A16', ignore: ['re:.*k_proj'] },
      { head: true, embedding: true },
    )
    expect(selects({ name: 'lm_head', role: 'head' })).toBe(true)
    expect(selects({ name: 'model.embed_tokens', role: 'embedding' })).toBe(true)
    expect(selects({ name: 'model.layers.0.self_attn.k_proj', role: 'linear' })).toBe(false)
  })

  it.each(['rtn', 'gptq', 'awq', 'auto-round'] as const)('finds scales of the KV cache behind %s', (method) => {
    for (const [kvCacheScales, type] of [
      ['fp8', 'float'],
      ['int8', 'int'],
    ] as const) {
      const last = methodRecipe({ method, kvCacheScales }, layersOnly).passes.at(-1)!
      expect(last.identity).toMatchObject({ name: 'kvCacheScales', options: { type, strategy: 'tensor' } })
      expect(last.needsCalibration).toBe(true)
    }
  })

  it('refuses by its options', () => {
    expect(() => methodRecipe({ method: 'magic' as 'rtn' }, layersOnly)).toThrow(/method: must be one of rtn, gptq/)
    expect(() => methodRecipe({ scheme: 'W4' }, layersOnly)).toThrow(/there is no scheme "W4"/)
  })
})

describe('resolveGroups', () => {
  it('gives no module to two groups', () => {
    const groups = resolveGroups({ scheme: { W4A16: ['Linear'], W8A16: ['re:a'], W3A16: ['b'] } }, [])
    expect(groups.map(({ targets, ignore }) => [targets, ignore])).toEqual([
      [['re:a'], []],
      [['b'], ['re:a']],
      [['Linear'], ['re:a', 'b']],
    ])
  })
})

function schemeOf(name: keyof typeof schemePresets): { scheme: unknown } {
  return { scheme: schemePresets[name].weights }
}
