import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import type { ActivationKind, GatedActivationKind, GroupedFormat, KvDType, WeightFormat } from '@octavo/core/backend'
import { readNativeEnv } from './native-env.ts'

/**
 * How quantized weights meet activations: as int8 per row and block of 32, as int8 per row and 256 columns (weights then as
 * 16-bit fixed-point numbers of their row: native/kernels/linear_wide.h), or the weights widened to float32.
 */
export type ActivationFormat = 'int8' | 'int8-wide' | 'float32'

export type Isa = 'scalar' | 'avx2' | 'avx512' | 'amx' | 'neon' | 'dotprod'

/** `native/binding*.cc` as JavaScript sees it; matrices are row-major, shapes are beside the names. */
export interface NativeAddon {
  readonly Pool: new (threads: number) => NativePool
  /** `width`: of all KV heads together. */
  readonly KvCache: new (
    numLayers: number,
    numSlots: number,
    width: number,
    headDim: number,
    dtype: KvDType,
  ) => NativeKvCache
  /** The best one that CPU and operating system allow. */
  bestIsa(): Isa
  /** The one in use in this process. */
  isa(): Isa
  /** False where the CPU lacks it. Matrices keep the one they were made under. */
  setIsa(isa: Isa): boolean
}

/** A packed weight `[rows, cols]`. */
export interface NativeMatrix {
  /** What it takes in memory, the kernels' own layout and all; before it is packed, what it takes in the file. */
  readonly bytes: number
  /** Rows that are computed together. */
  readonly panelRows: number
  readRow(row: number, out: Float32Array): void
  dispose(): void
}

export interface NativeKvCache {
  copySlots(from: number, to: number, count: number): void
  writeRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void
  readRows(layer: number, slots: Int32Array, keys: Float32Array, values: Float32Array): void
  dispose(): void
}

/** Core's `GroupedFormat`; products in integers where its codes stand for such. */
export type GroupedArguments = readonly [
  rows: number,
  cols: number,
  bits: number,
  groupSize: number,
  scaleDtype: GroupedFormat['scaleDtype'],
  values: Float32Array, // [2^bits]: what codes stand for
  order: Int32Array | null, // [cols]: each column's group
  activations: ActivationFormat,
]

/** As core's `planesOf` says. */
export type GroupedPlaneArguments<Plane> = readonly [codes: Plane, scales: Plane, zeros: Plane | null]

/** Threads and what runs on them; throws TypeError or RangeError where an array has a wrong type or length. */
export interface NativePool {
  /** Ends the threads. */
  dispose(): void
  createMatrix(
    format: WeightFormat,
    rows: number,
    cols: number,
    bytes: Uint8Array,
    activations: ActivationFormat,
  ): NativeMatrix
  /** A grouped weight of its planes in memory. */
  createGroupedMatrix(...args: readonly [...GroupedArguments, ...GroupedPlaneArguments<Uint8Array>]): NativeMatrix
  /** Of planes whose rows lie in open files; runs, null and when it is packed as of `readMatrix` and `deferMatrix`. */
  readGroupedMatrix(
    ...args: readonly [...GroupedArguments, ...GroupedPlaneArguments<Float64Array>]
  ): NativeMatrix | null
  deferGroupedMatrix(
    ...args: readonly [...GroupedArguments, ...GroupedPlaneArguments<Float64Array>]
  ): NativeMatrix | null
  /**
   * As `createMatrix`, of rows of open files, which are read during the call. Null where they are not in the files.
   */
  readMatrix(
    format: WeightFormat,
    rows: number,
    cols: number,
    runs: Float64Array, // [n, 4]: descriptor, position of the first row, bytes from row to row, rows
    activations: ActivationFormat,
  ): NativeMatrix | null
  /**
   * As `readMatrix`, but packed later: by `packMatrix`, or before that in the background. Till then only `embedding`,
   * `bytes` and `dispose` take it. The files may be closed after the call.
   */
  deferMatrix(
    format: WeightFormat,
    rows: number,
    cols: number,
    runs: Float64Array,
    activations: ActivationFormat,
  ): NativeMatrix | null
  /** Packs a deferred matrix with all threads, where that is still to be done. False where its file has changed. */
  packMatrix(matrix: NativeMatrix): boolean
  /** What deferred matrices will take that are not packed yet. */
  readonly pendingBytes: number
  linear(
    matrix: NativeMatrix,
    y: Float32Array, // [n, rows]
    x: Float32Array, // [n, cols]
    n: number,
    bias: Float32Array | null, // [rows]
  ): void
  /** As `linear`, then `gatedActivation`; half the rows must be whole panels. */
  gatedLinear(
    matrix: NativeMatrix,
    y: Float32Array, // [n, rows / 2]
    x: Float32Array, // [n, cols]
    n: number,
    bias: Float32Array | null, // [rows]
    kind: GatedActivationKind,
  ): void
  /** As `linear`, each part of the columns into an array of its own; all but the last must be whole panels. */
  linearParts(
    matrix: NativeMatrix,
    widths: Int32Array, // [parts]
    x: Float32Array, // [n, cols]
    n: number,
    bias: Float32Array | null, // [rows]
    ...parts: Float32Array[] // [n, width]
  ): void
  /** Of a deferred matrix, too; false where its file has changed. */
  embedding(matrix: NativeMatrix, out: Float32Array /* [n, cols] */, ids: Int32Array /* [n] */): boolean
  matMul(
    out: Float32Array, // [m, n]
    a: Float32Array, // [m, k], transposed [k, m]
    b: Float32Array, // [k, n], transposed [n, k]
    m: number,
    k: number,
    n: number,
    transposeA: boolean,
    transposeB: boolean,
  ): void
  rmsNorm(out: Float32Array, x: Float32Array, weight: Float32Array, n: number, d: number, epsilon: number): void
  addRmsNorm(
    out: Float32Array,
    sum: Float32Array,
    x: Float32Array,
    residual: Float32Array,
    weight: Float32Array,
    n: number,
    d: number,
    epsilon: number,
  ): void
  layerNorm(
    out: Float32Array,
    x: Float32Array,
    weight: Float32Array,
    bias: Float32Array | null,
    n: number,
    d: number,
    epsilon: number,
  ): void
  rotaryEmbedding(
    out: Float32Array, // [n, width]
    x: Float32Array, // [n, width]
    table: Float32Array, // [maxPositions, rotaryDim]
    positions: Int32Array, // [n]
    width: number,
    headDim: number,
    rotaryDim: number,
  ): void
  gatedActivation(out: Float32Array, gateUp: Float32Array, kind: GatedActivationKind, n: number, m: number): void
  activation(out: Float32Array, x: Float32Array, kind: ActivationKind): void
  pagedAttention(
    kv: NativeKvCache,
    layer: number,
    out: Float32Array, // [numTokens, heads * headDim]
    query: Float32Array, // [numTokens, heads * headDim]
    queryStartLoc: Int32Array, // [numSeqs + 1]
    seqLens: Int32Array, // [numSeqs]
    blockTables: Int32Array, // [numSeqs, maxBlocksPerSeq]
    blockSize: number,
    numTokens: number,
    heads: number,
    headDim: number,
    scale: number,
    slidingWindow: number, // 0 = none
    softcap: number, // 0 = none
    sinks: Float32Array | null, // [heads]
  ): void
  /** Attention without a cache: over keys and values that lie together. */
  attention(
    out: Float32Array, // [numTokens, heads * headDim]
    query: Float32Array, // [numTokens, heads * headDim]
    key: Float32Array, // [numKeys, kvHeads * headDim]
    value: Float32Array, // [numKeys, kvHeads * headDim]
    queryStartLoc: Int32Array, // [numSeqs + 1]
    keyStartLoc: Int32Array, // [numSeqs + 1]
    heads: number,
    kvHeads: number,
    headDim: number,
    scale: number,
    isCausal: boolean,
    slidingWindow: number, // 0 = none
    softcap: number, // 0 = none
    sinks: Float32Array | null, // [heads]
  ): void
  /** out `[n, count]` = columns `first` … of x `[n, width]`. */
  copyColumns(out: Float32Array, x: Float32Array, n: number, width: number, first: number, count: number): void
  /** out `[rows]`: the index of each row's largest of `n` values, the lowest among equals. */
  argmaxRows(out: Int32Array, x: Float32Array, n: number): void
  /** Draws a token from each of `out.length` rows of logits `[…, n]`, as `SampleRow` says; the logits stay as they are. */
  sampleRows(
    out: Int32Array, // [rows]
    logits: Float32Array, // [logit rows, n]
    n: number,
    params: Float64Array, // [rows, 9]: logit row, scale, minPOffset, topK, topP, uniform, repetition, frequency, presence penalty
    biasStarts: Int32Array, // [rows + 1]: where a row's entries begin in the next two
    biasIds: Int32Array,
    biases: Float64Array,
    seenStarts: Int32Array, // [rows + 1]
    seenIds: Int32Array,
    seenCounts: Int32Array,
    maskStarts: Int32Array, // [rows + 1]: where a row's words begin in the next one; no words = no mask
    masks: Int32Array,
  ): void
  /** The upper triangle of `sums` += xᵀx. */
  addGram(sums: Float64Array /* [width, width] */, x: Float32Array /* [n, width] */, n: number, width: number): void
  /** U with UᵀU = the inverse of a matrix in the upper triangle, in place: the column at which that fails, else -1. */
  inverseFactor(matrix: Float64Array /* [n, n] */, n: number): number
  /** Bytes per second that all threads together read from an array of `bytes`. */
  measureReadBandwidth(bytes: number): number
  /** int8 operations per second of all threads together in the instruction set in use; 0 where there is no probe. */
  measureMultiply(): number
}

/** The addon, or why there is none. */
export type LoadedAddon = { readonly addon: NativeAddon } | { readonly reason: string }

const require = createRequire(import.meta.url)
const fileName = 'octavo_native.node'

/** As the workspace build or `npm run build:native` leaves it: one folder above `src` and `dist` alike. */
const builtFile = fileURLToPath(new URL(`../build/${fileName}`, import.meta.url))

/** Those that a release brings ready-made (.github/workflows/release.yml). */
const releasedTargets: readonly string[] = ['linux-x64', 'linux-arm64', 'darwin-arm64']

/** The package that holds the addon ready-made for this platform, such as `@octavo/backend-native-linux-x64`. */
const prebuiltPackage = `@octavo/backend-native-${process.platform}-${process.arch}`

let loaded: LoadedAddon | null = null

/** Loads the addon once per thread: `OCTAVO_NATIVE_ADDON`, else the package's own build, else a prebuilt package. */
export function loadNativeAddon(): LoadedAddon {
  loaded ??= load(findAddon())
  return loaded
}

function findAddon(): string | null {
  const { addonFile } = readNativeEnv()
  if (addonFile !== null) return addonFile
  if (existsSync(builtFile)) return builtFile
  try {
    return require.resolve(`${prebuiltPackage}/${fileName}`)
  } catch {
    return null
  }
}

function load(file: string | null): LoadedAddon {
  if (file === null) {
    const target = `${process.platform}-${process.arch}`
    const remedy =
      'in a clone of the repository, install g++ or clang++ and run `npm --prefix packages/backend-native run build:native`'
    return {
      reason: releasedTargets.includes(target)
        ? `the ready-made addon is not installed: \`npm install ${prebuiltPackage}\`; or ${remedy}`
        : `it is not compiled, and there is no ready-made one for ${target}: ${remedy}`,
    }
  }
  try {
    const addon: unknown = require(file)
    return isAddon(addon) ? { addon } : { reason: `${file} is not Octavo's addon` }
  } catch (error) {
    const [message] = (error instanceof Error ? error.message : String(error)).split('\n')
    return { reason: `${file} could not be loaded: ${message}` }
  }
}

function isAddon(value: unknown): value is NativeAddon {
  const names = ['Pool', 'KvCache', 'bestIsa', 'isa', 'setIsa']
  return (
    typeof value === 'object' && value !== null && names.every((name) => typeof Reflect.get(value, name) === 'function')
  )
}
