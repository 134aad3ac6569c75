import { BackendWasm } from '@tensorflow/tfjs-backend-wasm'
import type { KernelConfig, NamedTensorInfoMap, TensorInfo } from '@tensorflow/tfjs-core'
import type { KvStorage } from '../../tensor/kv-storage.ts'
import type { PackedWeight } from '../../tensor/packed-weight.ts'
import { assert } from '../../util/assert.ts'
import { WasmKvStorage } from './wasm-kv-storage.ts'
import { WasmPackedWeight } from './wasm-packed-weight.ts'
import { runtimeOf } from './wasm-runtime.ts'
import type { WasmRuntime } from './wasm-runtime.ts'

export interface WasmKernelCall<Attrs> {
  readonly inputs: NamedTensorInfoMap
  readonly attrs: Attrs
  readonly runtime: WasmRuntime
}

/** A kernel of tfjs's own `wasm` backend. */
export function wasmKernel<Attrs>(
  kernelName: string,
  run: (call: WasmKernelCall<Attrs>) => TensorInfo | TensorInfo[],
): KernelConfig {
  return {
    kernelName,
    backendName: 'wasm',
    kernelFunc({ inputs, attrs, backend }) {
      assert(backend instanceof BackendWasm, `${kernelName} runs on the wasm backend only`)
      // tfjs hands the op's attrs through untouched, under a type that knows only JSON-like values.
      return run({ inputs, attrs: attrs as Attrs, runtime: runtimeOf(backend) })
    },
  }
}

export function asWasmWeight(weight: PackedWeight): WasmPackedWeight {
  assert(weight instanceof WasmPackedWeight, 'a packed weight of another backend reached a wasm kernel')
  return weight
}

export function asWasmKv(kv: KvStorage): WasmKvStorage {
  assert(kv instanceof WasmKvStorage, 'a KV storage of another backend reached a wasm kernel')
  return kv
}
