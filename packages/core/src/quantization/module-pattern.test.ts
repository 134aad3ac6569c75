import { describe, expect, it } from 'vitest'
import { CheckpointError } from '../errors.ts'
import { createModulePattern, createPatternBudget, refusePattern } from './module-pattern.ts'

const options = () => ({ refuse: refusePattern('config.json'), budget: createPatternBudget(1_000_000) })

const names = [
  'lm_head',
  'model.layers.0.mlp.gate',
  'model.layers.0.mlp.gate_proj',
  'model.layers.11.self_attn.q_proj',
  'model.layers.3.mlp.experts.7.down_proj',
  'model.layers.3.mlp.shared_expert.up_proj',
  'model.embed_tokens',
]

/** What Python's `re.match` finds of `names`. */
const found: readonly (readonly [pattern: string, names: string])[] = [
  [String.raw`.*lm_head`, '1000000'],
  [String.raw`lm_head$`, '1000000'],
  [String.raw`model`, '0111111'],
  [String.raw`layers`, '0000000'],
  [String.raw`.*mlp.gate$`, '0100000'],
  [String.raw`.*\.(q|k|v)_proj$`, '0001000'],
  [String.raw`model\.layers\.([0-9]|1[01])\..*`, '0111110'],
  [String.raw`^(?!.*self_attn).*$`, '1110111'],
  [String.raw`.*(?<!shared_)experts?\b`, '0000100'],
  [String.raw`.*\.experts\.\d+\.(gate|up|down)_proj`, '0000100'],
  [String.raw`(?:model\.)?layers\.\d{1,2}\.\w+`, '0111110'],
  [String.raw`.*\.mlp\.(?=gate)`, '0110000'],
  [String.raw`[^l]+layers`, '0000000'],
  [String.raw`[\w.-]*proj`, '0011110'],
  [String.raw`(?P<a>model|lm)_?(head)?$`, '1000000'],
  [String.raw`a{2,3}|model\.l`, '0111110'],
  [String.raw`.*q_pro[j]?$`, '0001000'],
  [String.raw`.*?mlp\..*?proj\Z`, '0010110'],
  [String.raw`x*`, '1111111'],
  [String.raw`(x|y)*lm`, '1000000'],
  [String.raw`\Amodel\..{6}\.3`, '0000110'],
  [String.raw`.*\d{2}`, '0001000'],
  [String.raw`(lm_head|model\.embed_tokens)$`, '1000001'],
  [String.raw`.*\bgate\b$`, '0100000'],
  [String.raw`[]l]m`, '1000000'],
  [String.raw`lm_head|`, '1111111'],
  [String.raw`(model(\.\w+){2}){1,2}\.mlp`, '0110110'],
]

describe('createModulePattern', () => {
  it.each(found)('%s', (pattern, expected) => {
    const isFound = createModulePattern(pattern, options())
    expect(names.map((name) => (isFound(name) ? '1' : '0')).join('')).toBe(expected)
  })

  it.each(['(a+)+$', '(a|a)*b', '(a|aa)+$', '(.*)*x', '(a?){30}a{30}', '([a-z]+)*$'])(
    'does not backtrack: %s',
    (pattern) => {
      expect(createModulePattern(pattern, options())('a'.repeat(29) + '!')).toBe(false)
    },
  )

  it.each([
    ['(', /in the middle|does not end/],
    ['a)', /a "\)" too many/],
    ['*a', /"\*" with nothing before it/],
    ['a**', /repeats a repetition/],
    ['[a', /ends in the middle/],
    ['[z-a]', /range that ends before/],
    ['a{5,2}', /repeats \{5,2\}/],
    ['a{4000}', /repeats \{4000\}/],
    ['((a{100}){100}){100}', /repeats too much/],
    [String.raw`(a)\1`, /escape \\1/],
    ['(?i)a', /group of a kind/],
    ['('.repeat(500), /nested too deeply/],
    ['a'.repeat(3000), /3000 characters/],
  ])('refuses %s', (pattern, message) => {
    const create = (): unknown => createModulePattern(pattern, options())
    expect(create).toThrow(CheckpointError)
    expect(create).toThrow(message)
  })

  it('gives up on what takes too long', () => {
    const nested = `${'(?=(.*)'.repeat(8)}x${')'.repeat(8)}`
    const isFound = createModulePattern(`(${nested}|.)*`, options())
    expect(() => isFound('a'.repeat(200))).toThrow(/takes too long/)
  })
})
