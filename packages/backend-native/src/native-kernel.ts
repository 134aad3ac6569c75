import { getKernel } from '@tensorflow/tfjs-core'
import type { KernelConfig, NamedAttrMap, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core'
import { assert } from '@octavo/core/backend'
import type { KvStorage, PackedWeight } from '@octavo/core/backend'
import { NativeBackend } from './native-backend.ts'
import { NativeKvStorage } from './native-kv-storage.ts'
import { NativePackedWeight } from './native-packed-weight.ts'

/** No underscore: tfjs splits its kernel keys at it. */
export const backendName = 'native'

export interface NativeKernelCall<Attrs> {
  readonly inputs: NamedTensorInfoMap
  readonly attrs: Attrs
  readonly backend: NativeBackend
}

/** A kernel of the `native` backend. */
export function nativeKernel<Attrs>(
  kernelName: string,
  run: (call: NativeKernelCall<Attrs>) => TensorInfo | TensorInfo[],
): KernelConfig {
  return {
    kernelName,
    backendName,
    kernelFunc({ inputs, attrs, backend }) {
      assert(backend instanceof NativeBackend, `${kernelName} runs on the native backend only`)
      // tfjs hands the op's attrs through untouched, under a type that knows only JSON-like values.
      return run({ inputs, attrs: attrs as Attrs, backend })
    },
  }
}

/** The kernel that tfjs registers for its `cpu` backend, run on this one. */
export function cpuKernelFunc(kernelName: string): (call: NativeKernelCall<unknown>) => TensorInfo | TensorInfo[] {
  return ({ inputs, attrs, backend }) => {
    const kernel = getKernel(kernelName, 'cpu')
    assert(kernel !== undefined, `tfjs's kernel ${kernelName} is not registered`)
    shareInputs(backend, inputs)
    return kernel.kernelFunc({ inputs, attrs: attrs as NamedAttrMap, backend })
  }
}

/** Before a kernel of tfjs's own runs: it may return a view of an input's array. */
export function shareInputs(backend: NativeBackend, inputs: NamedTensorInfoMap): void {
  // Optional inputs are there as undefined at times, whatever tfjs's types say.
  for (const tensor of Object.values<TensorInfo | undefined>(inputs)) {
    if (tensor !== undefined) backend.share(tensor.dataId)
  }
}

/** Whether it is a float32 matrix. */
export function isMatrix(tensor: TensorInfo | undefined): tensor is TensorInfo & { shape: [number, number] } {
  return tensor?.dtype === 'float32' && tensor.shape.length === 2
}

/** The tensor's own array, not a copy, unless it is what tfjs's `cast` makes of integers: a float32 tensor around theirs. */
export function valuesOf(backend: NativeBackend, tensor: TensorInfo | undefined): Float32Array {
  assert(tensor !== undefined, 'a kernel misses an input')
  const { values } = backend.data.get(tensor.dataId)
  if (values instanceof Float32Array) return values
  const isCast = tensor.dtype === 'float32' && (values instanceof Int32Array || values instanceof Uint8Array)
  assert(isCast, `a kernel got a ${tensor.dtype} tensor where it takes float32`)
  return Float32Array.from(values)
}

/** As `valuesOf`, for an input that the op may leave out. */
export function optionalValuesOf(backend: NativeBackend, tensor: TensorInfo | undefined): Float32Array | null {
  return tensor === undefined ? null : valuesOf(backend, tensor)
}

/** `[rows, columns]` of a matrix input. */
export function matrixShape(tensor: TensorInfo | undefined): [number, number] {
  const [rows, columns] = tensor?.shape ?? []
  assert(rows !== undefined && columns !== undefined, 'a kernel takes a matrix')
  return [rows, columns]
}

export function asNativeWeight(weight: PackedWeight): NativePackedWeight {
  assert(weight instanceof NativePackedWeight, 'a packed weight of another backend reached a native kernel')
  return weight
}

export function asNativeKv(kv: KvStorage): NativeKvStorage {
  assert(kv instanceof NativeKvStorage, 'a KV storage of another backend reached a native kernel')
  return kv
}
