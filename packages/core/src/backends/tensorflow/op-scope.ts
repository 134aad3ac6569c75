import { assert } from '../../util/assert.ts'
import type { TfeOpAttr, TfeTensor, TfjsBinding } from './libtensorflow/tfjs-binding.ts'
import { tensorflowError } from './tensorflow-error.ts'
import { noAttrs, tfDtype, typeAttr } from './tf-op.ts'

/** Where ops run: the tensorflow backend, as far as they see it. */
export interface OpDevice {
  readonly binding: TfjsBinding
  readonly isUsingGpuDevice: boolean
  /** Bytes that weights and KV caches may still take, as far as we know. */
  readonly availableBytes: number
  /** Of matrix products and what goes in and out of them. The residual stream is float32 always. */
  readonly computeDtype: number
  /** Ops of our own that the loaded library has for this device. */
  readonly fusedOps: ReadonlySet<string>
  /** A constant that lives as long as the device: an epsilon, a scale. */
  scalar(value: number, dtype?: number): TfeTensor
}

/**
 * Raw ops on raw handles, past tfjs's engine, which would add 10 to 30 µs to each. Whatever an op returns belongs to the
 * scope and is freed with it, also when a later op throws, unless `release` hands it on.
 */
export class OpScope {
  readonly device: OpDevice
  readonly #owned = new Set<number>()

  constructor(device: OpDevice) {
    this.device = device
  }

  /** Whether this op of ours is there; what it stands for is a sequence of TensorFlow's. */
  has(name: string): boolean {
    return this.device.fusedOps.has(name)
  }

  /** An op with one output. */
  run(name: string, inputs: readonly TfeTensor[], attrs: readonly TfeOpAttr[] = noAttrs): TfeTensor {
    const [output] = this.runMany(name, inputs, { numOutputs: 1, attrs })
    assert(output !== undefined, `TensorFlow's op ${name} returned nothing`)
    return output
  }

  runMany(
    name: string,
    inputs: readonly TfeTensor[],
    { numOutputs, attrs = noAttrs }: { numOutputs: number; attrs?: readonly TfeOpAttr[] },
  ): TfeTensor[] {
    const ids = inputs.map(({ id }) => id)
    let outputs: TfeTensor[]
    try {
      outputs = this.device.binding.executeOp(name, attrs, ids, numOutputs)
    } catch (error) {
      const { isUsingGpuDevice: isGpu, availableBytes } = this.device
      throw tensorflowError(error, { op: name, isGpu, availableBytes })
    }
    for (const { id } of outputs) this.#owned.add(id)
    return outputs
  }

  /** A tensor on the host: shapes, axes and what else TensorFlow's kernels read there. */
  hostInts(values: readonly number[], shape: readonly number[] = [values.length]): TfeTensor {
    return this.#create(shape, tfDtype.int32, Int32Array.from(values))
  }

  /** An axis or another integer that kernels read on the host. */
  hostInt(value: number): TfeTensor {
    return this.hostInts([value], [])
  }

  /**
   * Integers where the kernels compute. The binding leaves int32 tensors on the host, so that each op on them would wait
   * for a copy; bytes it puts on the GPU, where they become integers.
   */
  deviceInts(values: Int32Array, shape: readonly number[] = [values.length]): TfeTensor {
    if (!this.device.isUsingGpuDevice) return this.#create(shape, tfDtype.int32, values)
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength)
    return this.run('Bitcast', [this.bytes(bytes, [...shape, 4])], [typeAttr('type', tfDtype.int32)])
  }

  bytes(values: Uint8Array, shape: readonly number[]): TfeTensor {
    return this.#create(shape, tfDtype.uint8, values)
  }

  floats(values: Float32Array, shape: readonly number[] = [values.length]): TfeTensor {
    return this.#create(shape, tfDtype.float32, values)
  }

  cast(x: TfeTensor, dtype: number): TfeTensor {
    return x.dtype === dtype ? x : this.run('Cast', [x], [typeAttr('DstT', dtype)])
  }

  reshape(x: TfeTensor, shape: readonly number[]): TfeTensor {
    return this.run('Reshape', [x, this.hostInts(shape)])
  }

  /** Joins along `axis`; one part alone is handed back as it is. */
  concat(parts: readonly TfeTensor[], axis: number): TfeTensor {
    const [first] = parts
    assert(first !== undefined, 'nothing to join')
    if (parts.length === 1) return first
    const attrs = [{ name: 'N', type: 1, value: parts.length }, typeAttr('T', first.dtype)]
    return this.run('ConcatV2', [...parts, this.hostInt(axis)], attrs)
  }

  slice(x: TfeTensor, begin: readonly number[], size: readonly number[]): TfeTensor {
    return this.run('Slice', [x, this.hostInts(begin), this.hostInts(size)])
  }

  gather(x: TfeTensor, indices: TfeTensor, axis = 0): TfeTensor {
    return this.run('GatherV2', [x, indices, this.hostInt(axis)])
  }

  /** Hands it to the caller, who frees it; everything else of this scope goes with the scope. */
  release(tensor: TfeTensor): TfeTensor {
    assert(this.#owned.delete(tensor.id), 'a handle that is not the scope\u2019s was released')
    return tensor
  }

  /** Takes over a handle that another scope released. */
  take(tensor: TfeTensor): TfeTensor {
    this.#owned.add(tensor.id)
    return tensor
  }

  /** Frees a large intermediate before the scope ends; what the scope does not own is left alone. */
  free(tensor: TfeTensor): void {
    if (this.#owned.delete(tensor.id)) this.device.binding.deleteTensor(tensor.id)
  }

  dispose(): void {
    for (const id of this.#owned) this.device.binding.deleteTensor(id)
    this.#owned.clear()
  }

  #create(shape: readonly number[], dtype: number, values: Float32Array | Int32Array | Uint8Array): TfeTensor {
    const id = this.device.binding.createTensor(shape, dtype, values)
    this.#owned.add(id)
    return { id, shape: [...shape], dtype }
  }
}

/** Runs with a scope that is freed however `run` ends. */
export function withOps<T>(device: OpDevice, run: (ops: OpScope) => T): T {
  const ops = new OpScope(device)
  try {
    return run(ops)
  } finally {
    ops.dispose()
  }
}
