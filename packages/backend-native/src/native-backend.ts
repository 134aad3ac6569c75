import { MathBackendCPU } from '@tensorflow/tfjs-backend-cpu'
import type { backend_util as backendUtil, TensorInfo } from '@tensorflow/tfjs-core'
import { ArrayPool } from './array-pool.ts'
import type { NativePool } from './native-addon.ts'

type DataId = TensorInfo['dataId']

/** What the arrays of disposed tensors may keep for the next ones. */
const maxPooledBytes = 256 * 1024 ** 2

/** tfjs's `cpu` backend, tensors in typed arrays and all, with the hot kernels in C++ on a pool of threads. */
export class NativeBackend extends MathBackendCPU {
  pool: NativePool
  numThreads: number
  readonly #arrays = new ArrayPool(maxPooledBytes)
  /** Data in arrays that nobody else can hold, and whose memory is used again once it is disposed. */
  readonly #owned = new WeakMap<DataId, Float32Array<ArrayBuffer>>()

  constructor(pool: NativePool, numThreads: number) {
    super()
    this.pool = pool
    this.numThreads = numThreads
    // On its first tensor the cpu backend advises to install tfjs-node; the flag is private in tfjs's types.
    Reflect.set(this, 'firstUse', false)
  }

  /** An array for a kernel's output, with any content: the kernel writes every element. */
  allocate(length: number): Float32Array<ArrayBuffer> {
    return this.#arrays.take(length)
  }

  /** A float32 tensor around an array of `allocate`, which nobody may hold besides. */
  makeOutput2d(shape: [number, number], values: Float32Array<ArrayBuffer>): TensorInfo {
    const tensor = this.makeTensorInfo(shape, 'float32', values)
    this.#owned.set(tensor.dataId, values)
    return tensor
  }

  /** For an array that no tensor ever held. */
  release(values: Float32Array<ArrayBuffer>): void {
    this.#arrays.give(values)
  }

  /** Somebody gets to see the tensor's array, and may keep it: its memory is left to the garbage collector. */
  share(dataId: DataId): void {
    this.#owned.delete(dataId)
  }

  override readSync(dataId: DataId): backendUtil.BackendValues {
    this.share(dataId)
    return super.readSync(dataId)
  }

  override disposeData(dataId: DataId, force = false): boolean {
    const values = this.#owned.get(dataId)
    const isGone = super.disposeData(dataId, force)
    if (values !== undefined && isGone && this.#owned.delete(dataId)) this.#arrays.give(values)
    return isGone
  }
}
