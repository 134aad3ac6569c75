import type { TfeOpAttr, TfjsBinding } from './libtensorflow/tfjs-binding.ts'
import type { TensorflowBackend } from './tensorflow-backend.ts'

/** An op that was run, as TensorFlow tells its kernels and its plans apart. */
export interface SpiedOp {
  readonly name: string
  /** Name, attributes and input dtypes: what TensorFlow looks a kernel up by. */
  readonly kernel: string
  /** And the shapes of its inputs. */
  readonly call: string
}

/** What crosses the binding while it is spied on. */
export interface SpiedBinding {
  /** Since the last `clear`. */
  readonly ops: SpiedOp[]
  /** Values that came to the host since then. */
  numReads: number
  clear(): void
  restore(): void
}

/** Watches the backend's binding until `restore`. Handles made before have no shapes to tell. */
export function spyOnBinding(backend: TensorflowBackend): SpiedBinding {
  const { binding } = backend
  const types = new Map<number, { readonly dtype: number; readonly shape: readonly number[] }>()
  const spied: SpiedBinding = {
    ops: [],
    numReads: 0,
    clear() {
      spied.ops.length = 0
      spied.numReads = 0
    },
    restore: () => void Reflect.set(backend, 'binding', binding),
  }
  const executeOp: TfjsBinding['executeOp'] = (name, attrs, ids, numOutputs) => {
    const inputs = ids.map((id) => types.get(id))
    const kernel = `${name} ${attrs.map(describe).join(' ')} (${inputs.map((type) => type?.dtype).join(', ')})`
    const call = `${kernel} ${inputs.map((type) => `[${type?.shape.join(', ')}]`).join(' ')}`
    spied.ops.push({ name, kernel, call })
    const outputs = binding.executeOp(name, attrs, ids, numOutputs)
    for (const { id, dtype, shape } of outputs) types.set(id, { dtype, shape })
    return outputs
  }
  const createTensor: TfjsBinding['createTensor'] = (shape, dtype, values) => {
    const id = binding.createTensor(shape, dtype, values)
    types.set(id, { dtype, shape: [...shape] })
    return id
  }
  const tensorDataSync: TfjsBinding['tensorDataSync'] = (id) => (spied.numReads++, binding.tensorDataSync(id))
  const values = Object.entries({ executeOp, createTensor, tensorDataSync }).map(([name, value]) => [name, { value }])
  Reflect.set(backend, 'binding', Object.create(binding, Object.fromEntries(values)))
  return spied
}

function describe({ name, value }: TfeOpAttr): string {
  return `${name}=${String(value)}`
}
