import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core'
import { assert } from '../../util/assert.ts'
import type { KvStorage } from '../../tensor/kv-storage.ts'
import type { PackedWeight } from '../../tensor/packed-weight.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpScope } from './op-scope.ts'
import type { StepConstants } from './step-constants.ts'
import { backendName, isTensorflowBackend } from './tensorflow-backend.ts'
import { TfKvStorage } from './tf-kv-storage.ts'
import { TfPackedWeight } from './tf-packed-weight.ts'

export interface TensorflowKernelCall<Attrs> {
  readonly attrs: Attrs
  readonly ops: OpScope
  readonly steps: StepConstants
  /** An input's handle, which stays the input's. */
  readonly input: (name: string) => TfeTensor
  /** As `input`, for one that the op may leave out. */
  readonly optionalInput: (name: string) => TfeTensor | null
}

/** A kernel of the `tensorflow` backend, as raw ops: what it returns goes to the engine, all else is freed. */
export function tensorflowKernel<Attrs>(
  kernelName: string,
  run: (call: TensorflowKernelCall<Attrs>) => TfeTensor | TfeTensor[],
): KernelConfig {
  return {
    kernelName,
    backendName,
    kernelFunc({ inputs, attrs, backend }) {
      assert(isTensorflowBackend(backend), `${kernelName} runs on the tensorflow backend only`)
      const optionalInput = (name: string): TfeTensor | null => {
        const tensor = inputOf(inputs, name)
        return tensor === undefined ? null : backend.handleOf(tensor)
      }
      const input = (name: string): TfeTensor => {
        const handle = optionalInput(name)
        assert(handle !== null, `${kernelName} misses its input ${name}`)
        return handle
      }
      return withOps(backend, (ops) => {
        // tfjs hands the op's attrs through untouched, under a type that knows only JSON-like values.
        const outputs = run({ attrs: attrs as Attrs, ops, steps: backend.stepConstants, input, optionalInput })
        const adopt = (handle: TfeTensor): TensorInfo => backend.adopt(ops.release(handle))
        return Array.isArray(outputs) ? outputs.map(adopt) : adopt(outputs)
      })
    },
  }
}

function inputOf(inputs: NamedTensorInfoMap, name: string): TensorInfo | undefined {
  return inputs[name]
}

export function asTfWeight(weight: PackedWeight): TfPackedWeight {
  assert(weight instanceof TfPackedWeight, 'a packed weight of another backend reached a tensorflow kernel')
  return weight
}

export function asTfKv(kv: KvStorage): TfKvStorage {
  assert(kv instanceof TfKvStorage, 'a KV storage of another backend reached a tensorflow kernel')
  return kv
}
