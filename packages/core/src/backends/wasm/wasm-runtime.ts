import type { BackendWasm } from '@tensorflow/tfjs-backend-wasm'
import type { TensorInfo } from '@tensorflow/tfjs-core'
import { BackendUnavailableError } from '../../errors.ts'
import { assert } from '../../util/assert.ts'
import { WasmHeap, isHeapModule } from './wasm-heap.ts'
import { instantiateKernels, isMemory } from './wasm-kernels.ts'
import type { Pointer, WasmKernels } from './wasm-kernels.ts'

/** Our kernels inside the memory of one tfjs wasm backend. */
export class WasmRuntime {
  readonly heap: WasmHeap
  readonly kernels: WasmKernels
  readonly #backend: BackendWasm

  constructor(backend: BackendWasm) {
    const module: object = backend.wasm
    // Emscripten keeps the exports of tfjs's module, the memory among them, under this name.
    const tfjsExports: unknown = Reflect.get(module, 'asm')
    const memory: unknown =
      typeof tfjsExports === 'object' && tfjsExports !== null ? Reflect.get(tfjsExports, 'memory') : null
    if (!isHeapModule(module) || !isMemory(memory)) {
      throw new BackendUnavailableError(
        "TensorFlow.js's wasm backend does not show its memory, which the kernels have to share. Install @tensorflow/tfjs-backend-wasm 4.22.0 or choose another backend.",
      )
    }
    this.kernels = instantiateKernels(memory)
    this.heap = new WasmHeap(module)
    this.#backend = backend
  }

  /** Where a float32 input lies. */
  pointerOf(tensor: TensorInfo | undefined): Pointer {
    assert(tensor !== undefined, 'a kernel misses an input')
    assert(tensor.dtype === 'float32', `a kernel got a ${tensor.dtype} tensor where it takes float32`)
    return this.#backend.getMemoryOffset(tensor.dataId)
  }

  /** As `pointerOf`, for an input that the op may leave out: 0 then. */
  optionalPointerOf(tensor: TensorInfo | undefined): Pointer {
    return tensor === undefined ? 0 : this.pointerOf(tensor)
  }

  /** A new float32 matrix, not cleared. Make outputs first: see the note at `WasmHeap`. */
  createOutput(rows: number, columns: number): { readonly tensor: TensorInfo; readonly pointer: Pointer } {
    const tensor = this.#backend.makeOutput([rows, columns], 'float32')
    const pointer = this.#backend.getMemoryOffset(tensor.dataId)
    try {
      this.heap.checkOutput(pointer, rows * columns * Float32Array.BYTES_PER_ELEMENT)
    } catch (error) {
      this.#backend.disposeData(tensor.dataId, true)
      throw error
    }
    return { tensor, pointer }
  }
}

const runtimes = new WeakMap<BackendWasm, WasmRuntime>()

/** The runtime of a backend, made at first use: kernels are registered by name, and a new backend may come under that name. */
export function runtimeOf(backend: BackendWasm): WasmRuntime {
  let runtime = runtimes.get(backend)
  if (runtime === undefined) {
    runtime = new WasmRuntime(backend)
    runtimes.set(backend, runtime)
  }
  return runtime
}
