import type { AttentionDesign, MlpDesign } from '@octavo/core/model'
import { assert } from '@octavo/core/backend'
import type { DecoderLayer, LayerModule, SublayerKind } from '../decoder-layer.ts'

/** A norm, whose weights and bias are divided by the scales of channels. */
export interface SmoothNorm {
  readonly kind: 'norm'
  readonly name: string
}

/** A linear layer, whose last rows and biases are: of a fused one those are the values' or the up projection's. */
export interface SmoothLinear {
  readonly kind: 'linear'
  readonly name: string
  readonly module: LayerModule
}

/** Channels between two parts of a layer that may be scaled where they are made, if all that read them make up for it. */
export interface SmoothPlace {
  readonly smooth: SmoothNorm | SmoothLinear
  /** All that read the channels. */
  readonly balance: readonly LayerModule[]
  /** What the error of quantized weights is measured at the output of. */
  readonly parent: SublayerKind | LayerModule
  /** Mixtures of experts are left out unless a mapping asks for them: one scale for all experts fits none. */
  readonly isDefault: boolean
  /** The channel that each column of the readers reads, where several read one; `null`: each its own. */
  readonly channelOf: Int32Array | null
}

/** A place of other models that this one lacks. */
export interface MissingPlace {
  readonly kind: 'norm' | 'linear'
  readonly smooth: string
  readonly balance: readonly string[]
  readonly reason: string
}

export interface SmoothPlaces {
  readonly places: readonly SmoothPlace[]
  /** Where one channel is read by columns of several query heads, which scale it together. llm-compressor lacks these. */
  readonly shared: readonly SmoothPlace[]
  readonly missing: readonly MissingPlace[]
}

/** Where channels of a decoder layer can be scaled without changing what it computes, as its design says. */
export function smoothPlaces(layer: DecoderLayer): SmoothPlaces {
  const finder = new PlaceFinder(layer)
  finder.addAttention(layer.design.attention)
  finder.addMlp(layer.design.mlp(layer.index))
  return finder
}

class PlaceFinder implements SmoothPlaces {
  readonly places: SmoothPlace[] = []
  readonly shared: SmoothPlace[] = []
  readonly missing: MissingPlace[] = []
  readonly #layer: DecoderLayer
  readonly #modules: ReadonlyMap<string, LayerModule>

  constructor(layer: DecoderLayer) {
    this.#layer = layer
    this.#modules = new Map(layer.modules.map((module) => [module.name, module]))
  }

  addAttention({ qkv, output }: AttentionDesign): void {
    const { numHeads, numKvHeads, headDim } = this.#layer.config
    const inputs = 'qkv' in qkv ? [qkv.qkv] : [qkv.q, qkv.k, qkv.v]
    this.#addNorm(this.#layer.design.block.beforeAttention, { readers: inputs.map(this.#module), parent: 'attention' })
    const reason =
      numHeads === numKvHeads
        ? null
        : `queries share heads of values (${numKvHeads * headDim} features become ${numHeads * headDim})`
    const [values, reader] = [this.#module(inputs.at(-1)!), this.#module(output)]
    this.#addLinear(values, reader, reason)
    if (reason !== null) this.shared.push({ ...linearPlace(values, reader), channelOf: valueChannels(this.#layer) })
  }

  addMlp(mlp: MlpDesign): void {
    const { beforeMlp } = this.#layer.design.block
    switch (mlp.kind) {
      case 'gated': {
        const { prefixes, down } = mlp
        const inputs = 'gateUp' in prefixes ? [prefixes.gateUp] : [prefixes.gate, prefixes.up]
        this.#addNorm(beforeMlp, { readers: inputs.map(this.#module), parent: 'mlp' })
        this.#addLinear(this.#module(inputs.at(-1)!), this.#module(down), gatedReason(mlp.activation))
        return
      }
      case 'plain': {
        this.#addNorm(beforeMlp, { readers: [this.#module(mlp.up)], parent: 'mlp' })
        const reason = mlp.activation === 'relu' ? null : `${mlp.activation} stands between, which does not scale`
        this.#addLinear(this.#module(mlp.up), this.#module(mlp.down), reason)
        return
      }
      case 'moe':
        this.#addExperts(mlp, beforeMlp)
    }
  }

  #addExperts({ router, expert, activation }: Extract<MlpDesign, { kind: 'moe' }>, norm: string | null): void {
    const { moe } = this.#layer.config
    assert(moe !== null, 'a mixture of experts has its section in the config')
    const experts = Array.from({ length: moe.numExperts }, (_, index) =>
      expert(`${this.#layer.name}.`, index, (name) => this.#modules.has(name.slice(0, -'.weight'.length))),
    )
    const readers = [this.#module(router), ...experts.flatMap(({ gateUp }) => gateUp.map((name) => this.#named(name)))]
    this.#addNorm(norm, { readers, parent: 'mlp', isDefault: false })
    for (const { gateUp, down } of experts)
      this.#addLinear(this.#named(gateUp.at(-1)!), this.#named(down), gatedReason(activation))
  }

  #addNorm(
    norm: string | null,
    {
      readers: balance,
      parent,
      isDefault = true,
    }: { readers: readonly LayerModule[]; parent: SublayerKind; isDefault?: boolean },
  ): void {
    const names = balance.map(({ name }) => name)
    if (norm === null) {
      const reason = 'no norm stands before it that the scales could be folded into'
      this.missing.push({ kind: 'norm', smooth: `${this.#layer.name}.(norm before ${parent})`, balance: names, reason })
      return
    }
    const name = `${this.#layer.name}.${norm}`
    this.places.push({ smooth: { kind: 'norm', name }, balance, parent, isDefault, channelOf: null })
  }

  #addLinear(module: LayerModule, reader: LayerModule, reason: string | null): void {
    const { name } = module
    if (reason !== null) this.missing.push({ kind: 'linear', smooth: name, balance: [reader.name], reason })
    else this.places.push(linearPlace(module, reader))
  }

  readonly #module = (name: string): LayerModule => this.#named(`${this.#layer.name}.${name}`)

  #named(name: string): LayerModule {
    const module = this.#modules.get(name)
    assert(module !== undefined, `${name} is a module of the layer`)
    return module
  }
}

function linearPlace(module: LayerModule, reader: LayerModule): SmoothPlace {
  const smooth = { kind: 'linear', name: module.name, module } as const
  return { smooth, balance: [reader], parent: reader, isDefault: true, channelOf: null }
}

/** Of each column of the output projection: the feature of the values' heads that its query head reads. */
function valueChannels({ config: { numHeads, numKvHeads, headDim } }: DecoderLayer): Int32Array {
  const perHead = numHeads / numKvHeads
  return Int32Array.from(
    { length: numHeads * headDim },
    (_, col) => Math.floor(Math.floor(col / headDim) / perHead) * headDim + (col % headDim),
  )
}

function gatedReason(activation: string): string | null {
  return activation === 'swiglu_oss' ? 'the up projection is clamped before it is multiplied' : null
}
