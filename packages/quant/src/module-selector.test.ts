import { describe, expect, it } from 'vitest'
import { createModuleSelector } from './module-selector.ts'

const q = { name: 'model.layers.3.self_attn.q_proj', role: 'linear' } as const
const expert = { name: 'model.layers.3.mlp.experts.7.down_proj', role: 'expert' } as const
const router = { name: 'model.layers.3.mlp.gate', role: 'router' } as const
const head = { name: 'lm_head', role: 'head' } as const
const embedding = { name: 'model.embed_tokens', role: 'embedding' } as const

describe('createModuleSelector', () => {
  it('takes linear layers, the head among them, and leaves routers and embedding', () => {
    const selects = createModuleSelector({})
    expect([q, expert, router, head, embedding].map(selects)).toEqual([true, true, false, true, false])
  })

  it('leaves out what is ignored by name or pattern, from the start of the name as Python matches', () => {
    const selects = createModuleSelector({ ignore: ['lm_head', 're:.*experts.*', 're:self_attn'] })
    expect([q, expert, head].map(selects)).toEqual([true, false, false])
  })

  it('takes what is named, routers too', () => {
    const selects = createModuleSelector({ targets: ['re:.*mlp\\.gate$', 'Embedding'] })
    expect([q, router, embedding].map(selects)).toEqual([false, true, true])
  })

  it('refuses a broken pattern by its option', () => {
    expect(() => createModuleSelector({ ignore: ['re:(('] })).toThrow(
      /ignore: the pattern "\(\(" for names of modules: has a group that does not end/,
    )
  })

  it('takes no time over a pattern that would backtrack for years', () => {
    const selects = createModuleSelector({ ignore: ['re:([a-z0-9_.]+)+!', 're:(.*)*(.*)*(.*)*x$'] })
    expect(selects({ ...q, name: `model.${'layers.'.repeat(30)}q_proj` })).toBe(true)
  })
})
