import { describe, expect, it } from 'vitest'
import { CheckpointError } from '../errors.ts'
import { MemoryWeights } from '../layers/memory-weights.case.ts'
import { checkAllRead } from './unused-weights.ts'
import { WeightView } from './weight-view.ts'

function counting(shape: readonly number[]): { shape: readonly number[]; values: Float32Array } {
  const length = shape.reduce((product, size) => product * size, 1)
  return { shape, values: Float32Array.from({ length }, (_, i) => i) }
}

const source = new MemoryWeights({
  'a.weight': counting([2, 3]),
  'other.b.weight': counting([2]),
  'mlp.experts.gate_up_proj': counting([2, 3, 4]),
  'mlp.experts.gate_up_proj_bias': counting([2, 4]),
  'mlp.experts.down_proj_scales': counting([2, 2, 2]),
})
const layout = {
  rename: (stored: string) => (stored === 'a.weight' ? null : stored.replace('other.', 'stack.')),
  isInOut: (name: string) => name.endsWith('gate_up_proj.weight'),
}

describe('WeightView', () => {
  it('renames, leaves out, and shows the experts of a stack one by one', () => {
    const view = new WeightView(source, layout)
    expect(view.names()).toEqual([
      'stack.b.weight',
      'mlp.experts.0.gate_up_proj.weight',
      'mlp.experts.1.gate_up_proj.weight',
      'mlp.experts.0.gate_up_proj.bias',
      'mlp.experts.1.gate_up_proj.bias',
      'mlp.experts.0.down_proj.scales',
      'mlp.experts.1.down_proj.scales',
    ])
    expect(view.get('a.weight')).toBeNull()
    expect(view.get('mlp.experts.1.gate_up_proj.weight')).toMatchObject({
      name: 'mlp.experts.1.gate_up_proj.weight',
      shape: [3, 4],
      sizeInBytes: 48,
      orientation: 'in-out',
    })
    expect(view.get('mlp.experts.0.gate_up_proj.bias')?.orientation).toBeUndefined()
    const row = Float32Array.from([20, 21, 22, 23])
    expect(view.readFloat32('mlp.experts.1.gate_up_proj.weight', { start: 2, end: 3 })).toEqual(row)
    expect([...view.readFloat32('mlp.experts.1.gate_up_proj.bias')]).toEqual([4, 5, 6, 7])
    expect([...view.readFloat32('stack.b.weight')]).toEqual([0, 1])
    expect(() => view.readFloat32('a.weight')).toThrow(CheckpointError)
  })

  it('knows by their stored names which tensors nobody has read', () => {
    const view = new WeightView(source, layout)
    view.readFloat32('mlp.experts.0.gate_up_proj.weight')
    view.locate('stack.b.weight')
    expect(view.unread()).toEqual(['mlp.experts.gate_up_proj_bias', 'mlp.experts.down_proj_scales'])
    view.skip('mlp.expert', 'mlp.experts.1.down_proj')
    expect(view.unread()).toEqual(['mlp.experts.gate_up_proj_bias'])
    view.skip('mlp')
    expect(view.unread()).toEqual([])
  })

  it('refuses two tensors of one name', () => {
    const both = new MemoryWeights({ 'a.weight': counting([1]), 'x.a.weight': counting([1]) })
    const rename = (stored: string): string => stored.replace('x.', '')
    expect(() => new WeightView(both, { rename, isInOut: () => false })).toThrow(
      /"a\.weight": "a\.weight" and "x\.a\.weight" both mean it/,
    )
  })
})

describe('checkAllRead', () => {
  function check(names: readonly string[], more: Parameters<typeof checkAllRead>[2] = []): void {
    const some = new MemoryWeights(
      Object.fromEntries(names.map((name) => [name, { shape: [2], values: Float32Array.of(1, 2) }])),
    )
    checkAllRead(some, new WeightView(some), more)
  }

  it('names what no layer reads, and counts what it does not name', () => {
    const biases = Array.from({ length: 7 }, (_, i) => `model.layers.${i}.mlp.up_proj.bias`)
    expect(() => check(biases)).toThrow(CheckpointError)
    expect(() => check(biases)).toThrow(/no layer reads "model\.layers\.0\.mlp\.up_proj\.bias", .* and 2 more/)
  })

  it('takes what a definition does not need', () => {
    expect(() => check(['extra.weight'])).toThrow(/no layer reads "extra\.weight"/)
    expect(() => check(['extra.weight'], [{ pattern: /^extra\./, reason: 'a test' }])).not.toThrow()
  })

  it.each([
    'model.layers.0.self_attn.rotary_emb.inv_freq',
    'rope_freqs.weight',
    'h.0.attn.bias',
    'transformer.h.11.attn.masked_bias',
    'model.position_ids',
    'vision_tower.vision_model.encoder.layers.0.mlp.fc1.weight',
    'model.vision_tower.x.bias',
    'multi_modal_projector.mm_input_projection_weight',
    'visual.blocks.0.attn.qkv.weight',
    'v.blk.0.attn_q.weight',
    'mm.0.weight',
    'mtp.layers.0.mlp.up_proj.weight',
    'blk.48.nextn.eh_proj.weight',
    'v_head.summary.weight',
  ])('knows %s', (name) => {
    expect(() => check([name])).not.toThrow()
  })

  it.each([
    'self_attn.k_scale',
    'self_attn.v_scale',
    'self_attn.kv_scale',
    'self_attn.attn.k_scale',
    'self_attn.attn.q_scale',
    'self_attn.k_proj.k_scale',
    'self_attn.v_proj.v_scale',
    'self_attn.qkv_proj.v_scale',
    'self_attn.k_proj.output_scale',
  ])('knows %s, a scale of the KV cache', (name) => {
    const checkValues = (values: Float32Array): void => {
      const some = new MemoryWeights({ [`model.layers.0.${name}`]: { shape: [values.length], values } })
      checkAllRead(some, new WeightView(some), [])
    }
    expect(() => checkValues(Float32Array.of(0.25))).not.toThrow()
    expect(() => checkValues(Float32Array.of(0.25, 2, 1, 3))).not.toThrow()
    for (const wrong of [0, -1, NaN, Infinity]) {
      expect(() => checkValues(Float32Array.of(1, wrong))).toThrow(CheckpointError)
      expect(() => checkValues(Float32Array.of(1, wrong))).toThrow(`${name}": holds ${wrong}, and a scale of keys`)
    }
  })

  it.each([
    'model.layers.0.self_attn.q_proj.bias',
    'h.0.attn.c_attn.bias',
    'lm_head.bias',
    'model.layers.0.mlp.up_proj.weight_scale',
    'model.layers.0.post_attention_norm.weight',
  ])('does not take %s for a decoration', (name) => {
    expect(() => check([name])).toThrow(CheckpointError)
  })
})
