import { CheckpointError } from '@octavo/core'
import type { GgufArchitecture, WeightFormat, WeightLayout, WeightSource, WeightView } from '@octavo/core/loading'
import type { ModelConfig } from '@octavo/core/model'
import { chooseFormat, type GgufFileType, type MixContext } from './gguf-file-type.ts'

/** Rows of one tensor of the checkpoint, `[out, in]`. */
export interface RowsOf {
  readonly name: string
  readonly first: number
  readonly step: number
  readonly count: number
}

/** A tensor of the file to write, and what it is made of. */
export interface PlannedTensor {
  readonly name: string
  /** Slowest dimension first. */
  readonly shape: readonly number[]
  readonly format: WeightFormat
  /** One under the other; none where there are `values`. */
  readonly parts: readonly RowsOf[]
  readonly values: Float32Array | null
  /** Rows of each group of so many are put in interleaved rotary order. */
  readonly headDim: number | null
  /** Added to each value: the 1 of norms that are stored as `1 + w`. */
  readonly shift: number
}

export interface PlanOptions {
  readonly config: ModelConfig
  readonly architecture: GgufArchitecture
  readonly fileType: GgufFileType | 'exact'
  readonly hasImportance: boolean
}

const stackPrefixes = ['model.', '', 'transformer.', 'language_model.model.', 'model.language_model.']

/** Stored names → those of core's GGUF table, whatever prefix the checkpoint has. */
export function ggufLayout(source: WeightSource, architecture: GgufArchitecture, config: ModelConfig): WeightLayout {
  const names = new Set(source.names())
  const embedding = architecture.globalNames['token_embd']!
  const stack = embedding.slice(0, embedding.lastIndexOf('.') + 1)
  const base = stackPrefixes.find((prefix) => names.has(`${prefix}${embedding.slice(stack.length)}.weight`))
  if (base === undefined) throw new CheckpointError(source.file, 'has no embedding', { tensor: `${embedding}.weight` })
  const heads = ['lm_head', ...stackPrefixes.map((prefix) => `${prefix}lm_head`), 'language_model.lm_head']
  const head = heads.find((name) => names.has(`${name}.weight`)) ?? null
  const isTied = config.hasTiedEmbeddings ?? head === null
  return {
    rename(stored) {
      if (head !== null && stored.startsWith(`${head}.`)) return isTied ? null : `lm_head${stored.slice(head.length)}`
      return stored.startsWith(base) ? stack + stored.slice(base.length) : stored
    },
    isInOut: (name) =>
      (architecture.hasConv1d && /\.(c_attn|c_proj|c_fc)\.weight$/.test(name)) ||
      (architecture.hasInOutExperts && /\.experts\.\d+\.(gate_up|down)_proj\.weight$/.test(name)),
  }
}

/** All tensors of the file, in its order. What the checkpoint has beyond is left for `checkAllRead` to name. */
export function planTensors(view: WeightView, options: PlanOptions): PlannedTensor[] {
  const { config, architecture } = options
  const mix: MixContext = {
    fileType: options.fileType,
    numLayers: config.numLayers,
    numExperts: config.moe?.numExperts ?? 0,
    hasOutput: view.get('lm_head.weight') !== null,
    sharesManyHeads: architecture.key === 'llama' && config.numLayers === 80 && config.numHeads !== config.numKvHeads,
    hasImportance: options.hasImportance,
  }
  const planner = new Planner(view, options, mix)
  const { token_embd: embedding, position_embd: positions, output_norm: norm, output } = architecture.globalNames
  planner.module('token_embd', embedding)
  planner.module('position_embd', positions)
  for (let layer = 0; layer < config.numLayers; layer++) {
    const prefix = `${architecture.layerPrefix}.${layer}`
    for (const [part, module] of Object.entries(architecture.layerNames))
      planner.module(`blk.${layer}.${part}`, `${prefix}.${module}`)
    if (architecture.experts !== null) planner.experts(`blk.${layer}`, prefix)
  }
  planner.module('output_norm', norm)
  planner.module('output', output)
  return planner.tensors
}

class Planner {
  readonly tensors: PlannedTensor[] = []
  readonly #view: WeightView
  readonly #options: PlanOptions
  readonly #mix: MixContext

  constructor(view: WeightView, options: PlanOptions, mix: MixContext) {
    this.#view = view
    this.#options = options
    this.#mix = mix
  }

  /** `<module>.weight` and `<module>.bias`, or a tensor that is called as the module is. */
  module(stored: string, module: string | undefined): void {
    if (module === undefined) return
    for (const [name, ending] of [
      [`${module}.weight`, 'weight'],
      [`${module}.bias`, 'bias'],
      [module, 'weight'],
    ] as const) {
      const shape = this.#shapeOf(name)
      if (shape === null) continue
      const count = shape.length === 1 ? shape[0]! : shape.slice(0, -1).reduce((product, size) => product * size, 1)
      this.#add(`${stored}.${ending}`, shape, [{ name, first: 0, step: 1, count }])
    }
  }

  experts(block: string, layer: string): void {
    const { experts } = this.#options.architecture
    const numExperts = this.#options.config.moe?.numExperts ?? 0
    if (experts === null || numExperts === 0) return
    const one = `${layer}.${experts.prefix}.0`
    for (const ending of ['weight', 'bias']) {
      for (const [part, name] of [
        ['ffn_gate_exps', experts.gate],
        ['ffn_up_exps', experts.up],
        ['ffn_down_exps', experts.down],
      ] as const) {
        const isFused = this.#shapeOf(`${one}.gate_up_proj.${ending}`) !== null
        const module = !isFused ? name : part === 'ffn_down_exps' ? 'down_proj' : 'gate_up_proj'
        const shape = this.#shapeOf(`${one}.${module}.${ending}`)
        if (shape === null) continue
        const half = module === 'gate_up_proj' ? (part === 'ffn_gate_exps' ? 0 : 1) : null
        this.#stack(`${block}.${part}.${ending}`, {
          shape,
          half,
          ending,
          module,
          experts: `${layer}.${experts.prefix}`,
        })
      }
    }
  }

  #stack(
    stored: string,
    {
      shape,
      half,
      ending,
      module,
      experts,
    }: { shape: readonly number[]; half: 0 | 1 | null; ending: string; module: string; experts: string },
  ): void {
    const numExperts = this.#mix.numExperts
    const rows = half === null ? shape[0]! : shape[0]! / 2
    const isInterleaved = this.#options.config.modelType === 'gpt_oss'
    const first = half === null ? 0 : isInterleaved ? half : half * rows
    const step = half !== null && isInterleaved ? 2 : 1
    const parts = Array.from({ length: numExperts }, (_, expert) => ({
      name: `${experts}.${expert}.${module}.${ending}`,
      first,
      step,
      count: rows,
    }))
    for (const part of parts)
      if (this.#shapeOf(part.name) === null)
        throw new CheckpointError(this.#view.file, 'missing', { tensor: part.name })
    this.#add(stored, [numExperts, rows, ...shape.slice(1)], parts)
  }

  #add(name: string, shape: readonly number[], parts: readonly RowsOf[]): void {
    const { architecture, config } = this.#options
    const [, part = ''] = /^blk\.\d+\.(\w+)\./.exec(name) ?? []
    const numHeads = part === 'attn_q' ? config.numHeads : part === 'attn_k' ? config.numKvHeads : null
    const isNorm = /(^|_|\.)norm\.weight$/.test(name)
    // Biases of experts are matrices of vectors.
    const stored = this.#storedFormat(parts)
    const format = name.endsWith('.bias') ? 'float32' : chooseFormat({ name, shape, stored }, this.#mix)
    this.tensors.push({
      name,
      shape,
      format,
      parts,
      values: null,
      headDim: architecture.hasInterleavedRotary && numHeads !== null ? shape[0]! / numHeads : null,
      shift: architecture.hasShiftedNorms && isNorm ? 1 : 0,
    })
  }

  #storedFormat(parts: readonly RowsOf[]): WeightFormat {
    const [first, ...others] = parts.map(({ name }) => ({ name, format: this.#view.get(name)!.format }))
    const other = this.#options.fileType === 'exact' && others.find(({ format }) => format !== first!.format)
    if (other)
      throw new CheckpointError(
        this.#view.file,
        `is ${other.format} and "${first!.name}" is ${first!.format}: GGUF has them in one tensor. Name the type that they should get`,
        { tensor: other.name },
      )
    return first!.format
  }

  /** As `[out, in]`; `null` where the checkpoint has no such tensor. */
  #shapeOf(name: string): readonly number[] | null {
    const info = this.#view.get(name)
    if (info === null) return null
    return info.orientation === 'in-out' ? info.shape.toReversed() : info.shape
  }
}
