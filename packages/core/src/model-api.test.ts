import type { Tensor2D } from '@tensorflow/tfjs-core'
import { describe, expect, expectTypeOf, it } from 'vitest'
import {
  type CausalLM,
  type Communicator,
  type CreateLinearMethods,
  type DecoderDesign,
  defineDecoder,
  type ForwardContext,
  getModelDefinition,
  type LinearMethod,
  type LinearMethods,
  llamaDesign,
  type LoadModelContext,
  type ModelConfig,
  type ModelDefinition,
  singleRank,
  unquantized,
  type WeightLoader,
} from './model-api.ts'

describe('@octavo/core/model', () => {
  it('has the types of a model, its layers and its linear methods', () => {
    expectTypeOf(defineDecoder).toEqualTypeOf<(design: (config: ModelConfig) => DecoderDesign) => ModelDefinition>()
    expectTypeOf(llamaDesign).toExtend<Parameters<typeof defineDecoder>[0]>()
    expectTypeOf<ModelDefinition['load']>().toEqualTypeOf<(context: LoadModelContext) => CausalLM>()
    expectTypeOf<CausalLM['forward']>().parameters.toEqualTypeOf<[Int32Array | Tensor2D, ForwardContext]>()
    expectTypeOf<LoadModelContext>().toExtend<ConstructorParameters<typeof WeightLoader>[0]>()
    expectTypeOf<WeightLoader>().toExtend<Parameters<LinearMethod['load']>[0]>()
    expectTypeOf<ReturnType<CreateLinearMethods>>().toEqualTypeOf<LinearMethods>()
    expectTypeOf(unquantized).toEqualTypeOf<LinearMethod>()
    expectTypeOf(singleRank).toEqualTypeOf<Communicator>()
    expectTypeOf<{ readonly load: ModelDefinition['load'] }>().toExtend<ModelDefinition>()
  })

  it("takes an architecture from outside before core's own of the same name", async () => {
    const mine = defineDecoder(llamaDesign)
    const config = { architecture: 'LlamaForCausalLM', file: 'x' }
    expect(await getModelDefinition(config, { LlamaForCausalLM: mine })).toBe(mine)
    expect(await getModelDefinition(config, { Another: mine })).not.toBe(mine)
  })
})
