// Llama with ops of TensorFlow.js on its hidden states: they lose what points to one token.
import { div, keep, matMul, norm, sub, type Tensor2D, tensor2d, tidy } from '@tensorflow/tfjs-core'
import { embeddedModelPath, openCheckpoint } from '@octavo/core/loading'
import { defineDecoder, llamaDesign, type ModelDefinition } from '@octavo/core/model'
import { createTokenizer } from '@octavo/core/tokenizer'

const llama = defineDecoder(llamaDesign)
const checkpoint = await openCheckpoint(embeddedModelPath('octavo-tiny'))
const [tokenId = 0] = createTokenizer(checkpoint.readTokenizer()).encode(' Oslo')

const steered: ModelDefinition = {
  load(context) {
    const row = context.source.readFloat32('model.embed_tokens.weight', { start: tokenId, end: tokenId + 1 })
    const model = llama.load(context)
    const direction = tidy(() => {
      const vector = tensor2d(row, [1, row.length])
      return keep(div<Tensor2D>(vector, norm(vector))) // [1, hiddenSize]
    })
    return {
      config: model.config,
      layers: model.layers,
      kvShape: model.kvShape,
      weightBytes: model.weightBytes,
      forward(input, step) {
        const hidden = model.forward(input, step) // [numTokens, hiddenSize]
        const along = matMul(hidden, direction, false, true) // [numTokens, 1]
        return sub<Tensor2D>(hidden, matMul(along, direction))
      },
      computeLogits: (hidden, step) => model.computeLogits(hidden, step),
      dispose() {
        direction.dispose()
        model.dispose()
      },
    }
  },
}

/** In place of Octavo's own of this name. */
export const architectures = { LlamaForCausalLM: steered }
