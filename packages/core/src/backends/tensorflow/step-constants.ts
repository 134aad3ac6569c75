import { engine } from '@tensorflow/tfjs-core'
import type { Tensor, TensorInfo } from '@tensorflow/tfjs-core'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpDevice, OpScope } from './op-scope.ts'

interface Entry {
  readonly value: unknown
  readonly tensors: readonly Tensor[]
}

/** Makes a step's constant; `own` keeps a handle for the step. */
export type MakeConstant<T> = (ops: OpScope, own: (handle: TfeTensor) => TfeTensor) => T

/**
 * What all layers of one step share: slots, masks, angles. The key is an object of the step's own, such as its metadata,
 * whose content must not change while it is used. The handles belong to the outermost `tidy`, hence to the step: a nested
 * one would free them after the first layer. Outside any `tidy` nothing is kept.
 */
export class StepConstants {
  readonly #device: OpDevice
  readonly #adopt: (handle: TfeTensor) => TensorInfo
  readonly #entries = new WeakMap<object, Map<string, Entry>>()

  /** `adopt` makes a handle the engine's to free. */
  constructor(device: OpDevice, adopt: (handle: TfeTensor) => TensorInfo) {
    this.#device = device
    this.#adopt = adopt
  }

  get<T>(ops: OpScope, key: object, { name, make }: { name: string; make: MakeConstant<T> }): T {
    const [outermost] = engine().state.scopeStack
    if (outermost === undefined) return make(ops, (handle) => handle)
    const entries = this.#entriesOf(key)
    const found = entries.get(name)
    // NOTE: a name implies the type of its value; entries of one key are read with the `make` that made them.
    if (found?.tensors.every(({ isDisposed }) => !isDisposed)) return found.value as T
    const kept: TfeTensor[] = []
    const value = withOps(this.#device, (own) => {
      const made = make(own, (handle) => (kept.push(handle), handle))
      for (const handle of kept) own.release(handle)
      return made
    })
    entries.set(name, { value, tensors: kept.map((handle) => this.#trackIn(outermost, handle)) })
    return value
  }

  #entriesOf(key: object): Map<string, Entry> {
    const entries = this.#entries.get(key) ?? new Map<string, Entry>()
    this.#entries.set(key, entries)
    return entries
  }

  #trackIn(scope: ReturnType<typeof engine>['state']['activeScope'], handle: TfeTensor): Tensor {
    const { state } = engine()
    const active = state.activeScope
    state.activeScope = scope
    try {
      return engine().makeTensorFromTensorInfo(this.#adopt(handle))
    } finally {
      state.activeScope = active
    }
  }
}
