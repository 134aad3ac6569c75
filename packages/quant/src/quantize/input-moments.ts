import { gram } from '@octavo/core/ops'
import { QuantizationError } from '@octavo/core/quantization'
import type { DecoderLayer, LayerModule } from '../decoder-layer.ts'

/** Second moments of what modules of the same input are given. */
export interface InputMoments {
  readonly modules: readonly LayerModule[]
  readonly cols: number
  /** Sums of xᵀx in the upper triangle. */
  readonly sums: Float64Array // [cols, cols]
  readonly numTokens: number
}

export interface CollectOptions {
  /** Of sums that are held at once; modules whose sums alone take more are watched one by one. Default 1 GiB. */
  readonly maxBytes?: number
}

interface Collected {
  readonly modules: LayerModule[]
  readonly cols: number
  readonly sums: Float64Array
  numTokens: number
  /** Of the first batch, until the batch after it. */
  first: Float32Array | null
}

/**
 * Watches a layer over all calibration tokens, as often as the sums of its modules need to fit into memory (experts come in
 * hundreds), and hands over the moments of each input in the order of the modules. A module that is given no token is in
 * none of them. The layer must stay as it is until the end.
 *
 * @throws QuantizationError where an input is not finite
 */
export async function* collectMoments(
  layer: DecoderLayer,
  modules: readonly LayerModule[],
  { maxBytes = 2 ** 30 }: CollectOptions = {},
): AsyncGenerator<InputMoments> {
  for (const round of roundsOf(modules, maxBytes)) {
    const collected = await observeRound(layer, round)
    for (const moments of collected) {
      checkFinite(layer, moments)
      yield moments
    }
  }
}

/** Modules of the same parent and width mostly share an input: they count once, and stay together. */
function roundsOf(modules: readonly LayerModule[], maxBytes: number): LayerModule[][] {
  const shares = new Map<string, LayerModule[]>()
  for (const module of modules) {
    const key = `${parentOf(module.name)} ${module.cols}`
    shares.set(key, [...(shares.get(key) ?? []), module])
  }
  const rounds: LayerModule[][] = []
  let bytes = Infinity
  for (const share of shares.values()) {
    const own = share[0]!.cols ** 2 * 8
    if (bytes + own > maxBytes) {
      rounds.push([])
      bytes = 0
    }
    bytes += own
    rounds.at(-1)!.push(...share)
  }
  return rounds
}

async function observeRound(layer: DecoderLayer, modules: readonly LayerModule[]): Promise<readonly Collected[]> {
  const wanted = new Set(modules)
  const collected: Collected[] = []
  const inputs = new Map<LayerModule, Collected>()
  await layer.observe(({ module, input }) => {
    if (!wanted.has(module)) return
    const known = inputs.get(module)
    if (known !== undefined) {
      known.first = null
      if (known.modules[0] === module) add(known, input)
      return
    }
    const values = input.dataSync<'float32'>()
    const last = collected.at(-1)
    if (last !== undefined && isShared(last, module, values)) {
      last.modules.push(module)
      inputs.set(module, last)
      return
    }
    if (last !== undefined) last.first = null
    const { cols } = module
    const own = { modules: [module], cols, sums: new Float64Array(cols * cols), numTokens: 0, first: values }
    collected.push(own)
    inputs.set(module, own)
    add(own, input)
  })
  return collected

  function add(to: Collected, input: Parameters<typeof gram>[0]): void {
    gram(input, to.sums)
    to.numTokens += input.shape[0]
  }
}

/** The same values in their first batch, under the same parent: queries, keys and values; gate and up. */
function isShared({ modules, first }: Collected, module: LayerModule, values: Float32Array): boolean {
  if (first === null || first.length !== values.length) return false
  return parentOf(modules[0]!.name) === parentOf(module.name) && first.every((value, i) => value === values[i])
}

function parentOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.') + 1)
}

/** Whatever is not finite shows in a sum of squares. */
function checkFinite({ name }: DecoderLayer, { modules, cols, sums }: InputMoments): void {
  for (let col = 0; col < cols; col++) {
    const sum = sums[col * (cols + 1)]!
    if (Number.isFinite(sum)) continue
    throw new QuantizationError(
      `input column ${col} has squares that add up to ${sum}; check the checkpoint and the passes before, or leave out the calibration text that does it`,
      { layer: name, module: modules[0]!.name },
    )
  }
}
