import { gather, tensor1d, tidy } from '@tensorflow/tfjs-core'
import type { Tensor2D } from '@tensorflow/tfjs-core'
import { assert } from '@octavo/core/backend'
import { createLoadedLinear, moduleOf } from '@octavo/core/model'
import type { ForwardContext, LinearMethod, LinearMethods, LinearRole, LoadedLinear } from '@octavo/core/model'
import type { MatrixSelection, RowRange, WeightView } from '@octavo/core/loading'
import { embedding, linear } from '@octavo/core/ops'
import type { ModuleInput } from '../decoder-layer.ts'
import { CheckpointModule } from './layer-module.ts'
import type { CheckpointModuleOptions } from './layer-module.ts'

/** Tokens of the batch that is running which passes are shown; `null`: all. */
export type ShownTokens = ReadonlySet<number> | null

interface Watching {
  readonly watch: (given: ModuleInput) => void
  readonly shown: ShownTokens
}

/**
 * The linear layers of a decoder layer as modules: found while the layer is built, computing with what they hold at the
 * moment, and watched on request. Nothing is merged, so that each has its own.
 */
export class ModuleMethods {
  readonly #modules = new Map<string, CheckpointModule>()
  readonly #options: Pick<CheckpointModuleOptions, 'pack' | 'view'>
  #watching: Watching | null = null

  constructor(options: Pick<CheckpointModuleOptions, 'pack' | 'view'>) {
    this.#options = options
  }

  get modules(): readonly CheckpointModule[] {
    return [...this.#modules.values()]
  }

  readonly methods: LinearMethods = (module, role) => this.#method(module, role)

  /** Shows `watch` what modules are given while `run` runs. */
  watchWhile<T>(watching: Watching, run: () => T): T {
    assert(this.#watching === null, 'a layer is watched by one at a time')
    this.#watching = watching
    try {
      return run()
    } finally {
      this.#watching = null
    }
  }

  release(): void {
    for (const module of this.#modules.values()) module.release()
  }

  #method(name: string, role: LinearRole): LinearMethod {
    return {
      canMerge: () => false,
      load: ({ source }, selection) => this.#load(this.#module(name, role, selection), source),
      loadEmbedding: ({ source }, selection) => {
        const module = this.#module(name, role, selection)
        return { ...this.#load(module, source), embed: (ids) => embedding(ids, module.packed()) }
      },
    }
  }

  #load(module: CheckpointModule, source: WeightView): LoadedLinear {
    // Its weight is read when it first computes.
    source.discard(`${module.name}.weight`)
    return createLoadedLinear((x, bias, context) => {
      this.#show(module, x, context)
      return linear(x, module.packed(), bias)
    })
  }

  #module(name: string, role: LinearRole, { names, expectedShape, rows: order }: MatrixSelection): CheckpointModule {
    assert(names.length === 1 && moduleOf(names[0]!) === name, `${name} is one tensor`)
    const known = this.#modules.get(name)
    if (known !== undefined) return known
    const [rows, cols] = expectedShape
    const options = { name, role, rows, cols, ...this.#options, order: isWhole(order, rows) ? null : order! }
    const module = new CheckpointModule(options)
    this.#modules.set(name, module)
    return module
  }

  #show(module: CheckpointModule, x: Tensor2D, { tokens }: ForwardContext): void {
    if (this.#watching === null) return
    const { watch, shown } = this.#watching
    tidy(() => {
      if (shown === null) {
        watch({ module, input: x })
        return
      }
      const tokenOf = (row: number): number => (tokens === null ? row : tokens[row]!)
      const rows = Array.from({ length: x.shape[0] }, (_, row) => row).filter((row) => shown.has(tokenOf(row)))
      if (rows.length > 0) watch({ module, input: gather(x, tensor1d(rows, 'int32')) })
    })
  }
}

/** Whether a selection takes all rows in their order. */
function isWhole(order: readonly RowRange[] | undefined, rows: number): boolean {
  let next = 0
  for (const { start, end } of order ?? [{ start: 0, end: rows }]) {
    if (start !== next) return false
    next = end
  }
  return next === rows
}
