import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu'
import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core'
import { assert } from '../../util/assert.ts'

export interface CpuKernelCall<Attrs> {
  readonly inputs: NamedTensorInfoMap
  readonly attrs: Attrs
  readonly backend: MathBackendCPU
}

/** A kernel of tfjs's own `cpu` backend; backends that subclass `MathBackendCPU` can copy it. */
export function cpuKernel<Attrs>(
  kernelName: string,
  run: (call: CpuKernelCall<Attrs>) => TensorInfo | TensorInfo[],
): KernelConfig {
  return {
    kernelName,
    backendName: 'cpu',
    kernelFunc({ inputs, attrs, backend }) {
      assert(backend instanceof MathBackendCPU, `${kernelName} runs on the cpu backend only`)
      // tfjs hands the op's attrs through untouched, under a type that knows only JSON-like values.
      return run({ inputs, attrs: attrs as Attrs, backend })
    },
  }
}

/** The tensor's own array, not a copy. */
export function valuesOf(backend: MathBackendCPU, tensor: TensorInfo | undefined): Float32Array {
  assert(tensor !== undefined, 'a kernel misses an input')
  const { values } = backend.data.get(tensor.dataId)
  assert(values instanceof Float32Array, `a kernel got a ${tensor.dtype} tensor where it takes float32`)
  return values
}

/** As `valuesOf`, for an input that the op may leave out. */
export function optionalValuesOf(backend: MathBackendCPU, tensor: TensorInfo | undefined): Float32Array | null {
  return tensor === undefined ? null : valuesOf(backend, tensor)
}
