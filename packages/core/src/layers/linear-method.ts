import { split } from '@tensorflow/tfjs-core'
import type { Tensor1D, Tensor2D } from '@tensorflow/tfjs-core'
import type { MatrixSelection } from '../loading/matrix-parts.ts'
import { embedding } from '../ops/embedding.ts'
import { gatedActivation } from '../ops/gated-activation.ts'
import type { GatedActivationKind } from '../ops/gated-activation.ts'
import { gatedLinear } from '../ops/gated-linear.ts'
import { linear } from '../ops/linear.ts'
import { linearParts } from '../ops/linear-parts.ts'
import type { WeightView } from '../loading/weight-view.ts'
import type { DType } from '../tensor/dtype.ts'
import type { FillWeight, PackedWeight, PackedWeightSpec, StoredRows } from '../tensor/packed-weight.ts'
import type { Communicator } from './communicator.ts'
import type { ForwardContext } from './forward-context.ts'

/** A loaded weight `[rows, cols]`, freed together with the loader that read it. */
export interface LoadedLinear {
  /**
   * The weight, where `apply` is nothing but `linear` of it: fused kernels (experts) take it in place of this object.
   * `null` for a method that computes something else, watches or changes what the layer does.
   */
  readonly packed: PackedWeight | null
  /** x `[n, cols]` → `x @ W^T + bias` `[n, rows]`. */
  apply(x: Tensor2D, bias: Tensor1D | null, context: ForwardContext): Tensor2D
  /** As `apply`, then `act(gate) * up` of its two halves → `[n, rows / 2]`. */
  applyGated(x: Tensor2D, options: GatedApplyOptions, context: ForwardContext): Tensor2D
  /** As `apply`, cut into parts `[n, width]`. */
  applyParts(x: Tensor2D, options: PartsApplyOptions, context: ForwardContext): Tensor2D[]
}

export interface GatedApplyOptions {
  readonly bias: Tensor1D | null
  readonly kind: GatedActivationKind
}

export interface PartsApplyOptions {
  readonly bias: Tensor1D | null
  readonly widths: readonly number[]
}

/** A table of rows that, tied, is the head's weight too. */
export interface LoadedEmbedding extends LoadedLinear {
  /** ids `[n]` → rows `[n, cols]`. */
  embed(ids: Int32Array, context: ForwardContext): Tensor2D
}

/** What a method has of the loader (`WeightLoader`), which owns what it hands out and is given. */
export interface MethodLoader {
  readonly communicator: Communicator
  /** 'auto' keeps weights as stored; otherwise they are converted to it. */
  readonly dtype: DType | 'auto'
  /** For tensors that are not taken as a matrix or vector; whoever computes without one says `skip`. */
  readonly source: WeightView
  has(name: string): boolean
  /** Whether these tensors can become one weight without being converted. */
  canStack(names: readonly string[]): boolean
  /** How many columns of a tensor stand together once it is loaded: the elements of a block, or 1. */
  columnUnit(name: string): number
  /** Throws CheckpointError where a tensor is missing or has another shape. */
  matrix(selection: MatrixSelection): PackedWeight
  /** The same rows and columns as float32 values `[rows * cols]`, owned by nobody: for methods that compute with them. */
  hostMatrix(selection: MatrixSelection): Float32Array
  /** A weight of what `fill` writes, such as the planes of a grouped format (`BackendPack.packWeight`). */
  pack(spec: PackedWeightSpec, fill: FillWeight, stored?: readonly StoredRows[] | null): PackedWeight
  /** Takes over something else that must be freed with the weights. */
  own(owned: { dispose(): void }, sizeInBytes?: number): void
  /** Tells whoever watches the load that these tensors are in. */
  loaded(names: readonly string[]): void
}

/**
 * How linear layers store and apply their weights: the seam for quantization, adapters, capture, training. A method may
 * wrap another: it loads by that one, and hands out `createLoadedLinear` around what came back.
 */
export interface LinearMethod {
  /** Whether the weights of these tensors can be loaded as one, rows under rows, without a conversion nobody asked for. */
  canMerge(loader: MethodLoader, names: readonly string[]): boolean
  /**
   * How many columns of this weight stand together (blocks, groups), so that ranks cut it between them; left out, 1.
   * Asked before anything is loaded.
   */
  columnUnit?(loader: MethodLoader, name: string): number
  /**
   * Loads what the selection says of tensors `<module>.weight`; a format of several planes asks for its own names beside
   * them (`planeNames`). What must be freed is the loader's to own.
   */
  load(loader: MethodLoader, selection: MatrixSelection): LoadedLinear
  loadEmbedding(loader: MethodLoader, selection: MatrixSelection): LoadedEmbedding
}

/** What a weight is for, where a method is chosen by more than its name. */
export type LinearRole = 'embedding' | 'expert' | 'head' | 'linear' | 'router'

/** Chooses the method of a module, by its name up to the dot before `weight`; merged modules must get the same one. */
export type LinearMethods = (module: string, role: LinearRole) => LinearMethod

/** `a.b.weight` → `a.b.<plane>`, of all tensors of a selection. */
export function planeNames({ names }: MatrixSelection, plane: string): string[] {
  return names.map((name) => `${moduleOf(name)}.${plane}`)
}

/** `a.b.weight` → `a.b`. */
export function moduleOf(name: string): string {
  return name.slice(0, name.lastIndexOf('.'))
}

/** The rest from `apply`, the same bits as the fused ops'. */
export function createLoadedLinear(apply: LoadedLinear['apply']): LoadedLinear {
  return {
    packed: null,
    apply,
    applyGated: (x, { bias, kind }, context) => gatedActivation(apply(x, bias, context), kind),
    applyParts: (x, { bias, widths }, context) => split(apply(x, bias, context), [...widths], 1),
  }
}

/** Weights as stored, one tensor `<module>.weight`; GGUF's blocks count too, since kernels widen them on the fly. */
export const unquantized: LinearMethod = {
  canMerge: (loader, names) => loader.canStack(names),
  columnUnit: (loader, name) => loader.columnUnit(name),
  load: (loader, selection) => createPackedLinear(loader.matrix(selection)),
  loadEmbedding: (loader, selection) => createPackedEmbedding(loader.matrix(selection)),
}

export const unquantizedMethods: LinearMethods = () => unquantized

/** The fused ops on a weight of any format. */
export function createPackedLinear(weight: PackedWeight): LoadedLinear {
  return {
    packed: weight,
    apply: (x, bias) => linear(x, weight, bias),
    applyGated: (x, options) => gatedLinear(x, weight, options),
    applyParts: (x, options) => linearParts(x, weight, options),
  }
}

export function createPackedEmbedding(weight: PackedWeight): LoadedEmbedding {
  return { ...createPackedLinear(weight), embed: (ids) => embedding(ids, weight) }
}
