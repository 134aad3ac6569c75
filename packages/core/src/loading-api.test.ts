import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  type Checkpoint,
  embeddedModelPath,
  openCheckpoint,
  openGguf,
  openSafetensors,
  type RawTensor,
  resolveModelPath,
  type ResolveModelOptions,
  type RowRange,
  type WeightInfo,
  type WeightSource,
  type WeightView,
} from './loading-api.ts'

describe('@octavo/core/loading', () => {
  it('has the types of checkpoints and their tensors', () => {
    expectTypeOf(openCheckpoint).toEqualTypeOf<(path: string) => Promise<Checkpoint>>()
    expectTypeOf<ReturnType<Checkpoint['openWeights']>>().toEqualTypeOf<WeightSource>()
    expectTypeOf(openSafetensors).toEqualTypeOf<(path: string) => WeightSource>()
    expectTypeOf(openGguf).returns.toHaveProperty('weights').toEqualTypeOf<WeightSource>()
    expectTypeOf<WeightSource['get']>().returns.toEqualTypeOf<WeightInfo | null>()
    expectTypeOf<WeightSource['raw']>().returns.toEqualTypeOf<RawTensor | null>()
    expectTypeOf<WeightSource['readFloat32']>().parameters.toEqualTypeOf<[string, RowRange?]>()
    expectTypeOf<WeightView>().toExtend<WeightSource>()
    expectTypeOf(resolveModelPath).parameters.toEqualTypeOf<[string, ResolveModelOptions?]>()
  })

  it('opens a checkpoint and reads a row as stored, raw and widened', async () => {
    const { openWeights, config } = await openCheckpoint(embeddedModelPath('octavo-tiny'))
    const source = openWeights()
    try {
      const name = 'model.embed_tokens.weight'
      expect(source.get(name)).toMatchObject({ shape: [config['vocab_size'], config['hidden_size']] })
      const row = source.readFloat32(name, { start: 7, end: 8 })
      const raw = new Uint8Array(2 * row.length)
      source.raw(name)!.read(raw, 7 * raw.length)
      const widened = new Float32Array(new Uint32Array(new Uint16Array(raw.buffer)).map((bits) => bits << 16).buffer)
      expect(widened).toEqual(row)
    } finally {
      source.close()
    }
  })
})
