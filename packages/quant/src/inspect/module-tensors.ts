import { OctavoError } from '@octavo/core'
import type { RawTensor, WeightView } from '@octavo/core/loading'
import { describeGrouped, type QuantizationScheme } from '@octavo/core/quantization'

export type ModelPart = 'embedding' | 'attention' | 'MLP' | 'experts' | 'norms' | 'head' | 'classifier' | 'other'

/** A weight, in however many tensors its file has it, or a single other tensor. */
export interface ModuleTensors {
  readonly part: ModelPart
  /** The dtype, or how it is quantized. */
  readonly format: string
  readonly numParameters: number
  readonly bytes: number
}

/** Of every tensor, quantized weights taken together. */
export function describeModules(view: WeightView, scheme: QuantizationScheme | null): ModuleTensors[] {
  const modules = Map.groupBy(view.names(), (name) => name.slice(0, Math.max(0, name.lastIndexOf('.'))))
  return [...modules].flatMap(([module, names]) => {
    const tensors = names.flatMap((name) => tryRaw(view, name) ?? [])
    const quantized = scheme === null ? null : tryFind(scheme, view, module)
    if (quantized === null) return tensors.map((tensor) => describeTensor(tensor))
    // Its codes, scales, zeros, order, shape: all but what is added to the product.
    const [biases, own] = [true, false].map((isBias) => tensors.filter(({ name }) => name.endsWith('.bias') === isBias))
    const weight = {
      part: partOf(module),
      format: `${scheme?.name}: ${describeGrouped(quantized.format)}`,
      numParameters: quantized.rows * quantized.cols,
      bytes: own!.reduce((sum, { sizeInBytes }) => sum + sizeInBytes, 0),
    }
    return [weight, ...biases!.map(describeTensor)]
  })
}

function describeTensor({ name, dtype, shape, sizeInBytes }: RawTensor): ModuleTensors {
  return {
    part: partOf(name),
    format: dtype,
    numParameters: shape.reduce((product, size) => product * size, 1),
    bytes: sizeInBytes,
  }
}

/** By what transformers' classes call their parts. */
const parts: readonly (readonly [ModelPart, RegExp])[] = [
  ['experts', /\.experts\b/],
  ['norms', /norm|\bln_/i],
  ['attention', /\b(self_attn|attn|attention)\b/],
  ['MLP', /\b(mlp|feed_forward|block_sparse_moe|ffn|intermediate|layer\.\d+\.output)\b/],
  ['embedding', /\b(embed_tokens|wte|wpe|embed_positions|embeddings)\b/],
  ['head', /\blm_head\b/],
  ['classifier', /\b(classifier|pre_classifier|score|pooler|head)\b/],
]

export function partOf(name: string): ModelPart {
  return parts.find(([, pattern]) => pattern.test(name))?.[0] ?? 'other'
}

/** `null` for a dtype that nothing here knows: it counts nowhere. */
function tryRaw(view: WeightView, name: string): RawTensor | null {
  try {
    return view.raw(name)
  } catch (error) {
    if (OctavoError.isInstance(error)) return null
    throw error
  }
}

/** `null` for what is not quantized; what its scheme cannot read is shown as the tensors that it is. */
function tryFind(scheme: QuantizationScheme, view: WeightView, module: string): ReturnType<QuantizationScheme['find']> {
  try {
    return scheme.find(view, module, partOf(module) === 'head' ? 'head' : 'linear')
  } catch (error) {
    if (OctavoError.isInstance(error)) return null
    throw error
  }
}
