import type { DecoderLayer, LayerModule, SublayerKind } from '../decoder-layer.ts'
import type { SmoothPlace } from './smooth-place.ts'

/** What a whole sublayer is given in a batch; `[numTokens, hiddenSize]`. */
export interface BatchInput {
  readonly batch: number
  readonly values: Float32Array
}

/** What a search needs of a layer's activations, some of the tokens where there are many. */
export interface AwqInputs {
  /** Of each place's first reader, over all tokens: the sum of each channel's magnitudes, and the number of tokens. */
  readonly magnitudes: ReadonlyMap<LayerModule, ChannelSums>
  /** Of readers that are themselves the place where errors are measured: rows `[n, cols]`. */
  readonly rows: ReadonlyMap<LayerModule, Float32Array>
  readonly sublayers: Readonly<Record<SublayerKind, readonly BatchInput[]>>
}

export interface ChannelSums {
  readonly sums: Float64Array
  numTokens: number
}

/** Watches the layer twice: its linear layers, and its sublayers. */
export async function collectAwqInputs(
  layer: DecoderLayer,
  places: readonly SmoothPlace[],
  maxTokens: number,
): Promise<AwqInputs> {
  const magnitudes = new Map<LayerModule, ChannelSums>()
  const samples = new Map<LayerModule, RowSample>()
  const readers = new Set(places.map(({ balance }) => balance[0]!))
  const stride = Math.max(1, Math.floor(numShown(layer) / maxTokens))
  for (const { parent } of places)
    if (typeof parent !== 'string') samples.set(parent, new RowSample(parent.cols, stride))
  await layer.observe(({ module, input }) => {
    const sample = samples.get(module)
    if (sample === undefined && !readers.has(module)) return
    const values = input.dataSync<'float32'>()
    sample?.add(values)
    if (readers.has(module)) addMagnitudes(magnitudes, module, values)
  })
  const rows = new Map([...samples].map(([module, sample]) => [module, sample.values()]))
  return { magnitudes, rows, sublayers: await collectSublayers(layer, places, maxTokens) }
}

async function collectSublayers(
  layer: DecoderLayer,
  places: readonly SmoothPlace[],
  maxTokens: number,
): Promise<AwqInputs['sublayers']> {
  const sublayers = { attention: [] as BatchInput[], mlp: [] as BatchInput[] }
  const isParent = (kind: SublayerKind): boolean => places.some(({ parent }) => parent === kind)
  if (!isParent('attention') && !isParent('mlp')) return sublayers
  const batches = chooseBatches(layer, maxTokens)
  await layer.observeSublayers(({ kind, batch, input }) => {
    if (isParent(kind) && batches.has(batch))
      sublayers[kind].push({ batch, values: input.dataSync<'float32'>().slice() })
  })
  return sublayers
}

/** Whole ones, as attention needs all of a sequence, from everywhere in the calibration texts. */
function chooseBatches(layer: DecoderLayer, maxTokens: number): ReadonlySet<number> {
  const sizes = Array.from({ length: layer.numBatches }, (_, batch) => layer.numTokens(batch))
  const total = sizes.reduce((sum, size) => sum + size, 0)
  const stride = Math.max(1, Math.floor(total / maxTokens))
  const chosen = new Set<number>()
  let numTokens = 0
  for (let batch = 0; batch < sizes.length && numTokens < maxTokens; batch += stride) {
    chosen.add(batch)
    numTokens += sizes[batch]!
  }
  return chosen
}

/** Tokens that count, of all batches. */
function numShown(layer: DecoderLayer): number {
  let sum = 0
  for (let batch = 0; batch < layer.numBatches; batch++) sum += layer.shownRows(batch)?.length ?? layer.numTokens(batch)
  return sum
}

function addMagnitudes(magnitudes: Map<LayerModule, ChannelSums>, module: LayerModule, values: Float32Array): void {
  const { cols } = module
  const channels = magnitudes.get(module) ?? { sums: new Float64Array(cols), numTokens: 0 }
  magnitudes.set(module, channels)
  for (let start = 0; start < values.length; start += cols)
    for (let col = 0; col < cols; col++) channels.sums[col]! += Math.abs(values[start + col]!)
  channels.numTokens += values.length / cols
}

/** Every `stride`-th row of what comes by. */
class RowSample {
  readonly #cols: number
  readonly #stride: number
  readonly #rows: Float32Array[] = []
  #seen = 0

  constructor(cols: number, stride: number) {
    this.#cols = cols
    this.#stride = stride
  }

  add(values: Float32Array): void {
    const cols = this.#cols
    for (let start = 0; start < values.length; start += cols, this.#seen++)
      if (this.#seen % this.#stride === 0) this.#rows.push(values.slice(start, start + cols))
  }

  /** `[n, cols]` */
  values(): Float32Array {
    const values = new Float32Array(this.#rows.length * this.#cols)
    this.#rows.forEach((row, i) => values.set(row, i * this.#cols))
    return values
  }
}
