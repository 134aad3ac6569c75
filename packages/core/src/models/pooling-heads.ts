import { sigmoid, tanh, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import type { ModelActivation } from '../config/activation.ts'
import type { ModelConfig } from '../config/model-config.ts'
import type { DenseConfig } from '../config/pooling-config.ts'
import type { ForwardContext } from '../layers/forward-context.ts'
import { createReplicatedLinear } from '../layers/linear.ts'
import { createLayerNorm } from '../layers/norm.ts'
import { WeightLoader } from '../layers/weight-loader.ts'
import { openSafetensors } from '../loading/safetensors.ts'
import { activation } from '../ops/activation.ts'
import type { ClassifierDesign, ClassifierDesigns, DenseDesign } from './classifier-design.ts'
import type { LoadModelContext, PoolingHead, PoolingHeads } from './model.ts'

type HeadActivation = ModelActivation | DenseConfig['activation']

export interface PoolingHeadsOptions {
  readonly config: ModelConfig
  /** The dense layers behind an embedding, for a model without classes. */
  readonly dense: readonly DenseConfig[]
  readonly classifiers: ClassifierDesigns
}

/** What of pooling has weights: the classifier that the architecture's name promises, or the dense layers of an embedder. */
export function createPoolingHeads(
  loader: WeightLoader,
  context: Pick<LoadModelContext, 'pack' | 'dtype'>,
  { config, dense, classifiers }: PoolingHeadsOptions,
): PoolingHeads {
  switch (config.head) {
    case 'classes':
      return { embed: null, classify: createClassifier(loader, config, classifiers.texts) }
    case 'token-classes':
      return { embed: null, classify: createClassifier(loader, config, classifiers.tokens) }
    default:
      return {
        embed: dense.length === 0 ? null : inOrder(dense.map((layer) => loadDense(loader, context, layer))),
        classify: null,
      }
  }
}

function createClassifier(loader: WeightLoader, config: ModelConfig, design: ClassifierDesign): PoolingHead {
  const { hiddenSize, pooling } = config
  const output = createReplicatedLinear(loader, {
    prefix: design.output,
    inFeatures: hiddenSize,
    outFeatures: pooling.classifier?.numLabels ?? 0,
    hasBias: loader.has(`${design.output}.bias`),
  })
  const labels: PoolingHead = (rows, context) => output.forward(rows, context)
  return design.dense === null ? labels : inOrder([createDense(loader, config, design.dense), labels])
}

function createDense(
  loader: WeightLoader,
  { hiddenSize, normEpsilon: epsilon }: ModelConfig,
  { name: prefix, hasBias, activation: kind, norm: normPrefix }: DenseDesign,
): PoolingHead {
  const linear = createReplicatedLinear(loader, { prefix, inFeatures: hiddenSize, outFeatures: hiddenSize, hasBias })
  const norm = normPrefix && createLayerNorm(loader, { prefix: normPrefix, features: hiddenSize, epsilon })
  return (rows, context) => {
    const activated = activate(linear.forward(rows, context), kind)
    return norm ? norm.forward(activated) : activated
  }
}

/** From a file of its own, whose names are `linear.weight` and `linear.bias`. */
function loadDense(
  owner: WeightLoader,
  { pack, dtype }: Pick<LoadModelContext, 'pack' | 'dtype'>,
  { folder, inFeatures, outFeatures, hasBias, activation: kind }: DenseConfig,
): PoolingHead {
  const source = openSafetensors(folder)
  try {
    const loader = new WeightLoader({ source, pack, dtype, communicator: owner.communicator })
    owner.own(loader)
    const linear = createReplicatedLinear(loader, { prefix: 'linear', inFeatures, outFeatures, hasBias })
    loader.finish()
    owner.own({ dispose: () => {} }, loader.sizeInBytes)
    return (rows, context) => activate(linear.forward(rows, context), kind)
  } finally {
    source.close()
  }
}

function inOrder(heads: readonly PoolingHead[]): PoolingHead {
  return (rows: Tensor2D, context: ForwardContext) => tidy(() => heads.reduce((x, head) => head(x, context), rows))
}

function activate(x: Tensor2D, kind: HeadActivation): Tensor2D {
  switch (kind) {
    case 'none':
      return x
    case 'tanh':
      return tanh(x)
    case 'sigmoid':
      return sigmoid(x)
    default:
      return activation(x, kind)
  }
}
