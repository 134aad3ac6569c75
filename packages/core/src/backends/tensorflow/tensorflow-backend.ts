import { engine } from '@tensorflow/tfjs-core'
import type { backend_util as backendUtil, DataId, Tensor, TensorInfo } from '@tensorflow/tfjs-core'
import { assert } from '../../util/assert.ts'
import type { LoadedTensorflow } from './libtensorflow/load-tensorflow.ts'
import type { NodeKernelBackend } from './libtensorflow/node-kernel-backend.ts'
import type { TfeTensor } from './libtensorflow/tfjs-binding.ts'
import { withOps } from './op-scope.ts'
import type { OpDevice, OpScope } from './op-scope.ts'
import { StepConstants } from './step-constants.ts'
import { is16Bit, tfDtype } from './tf-op.ts'

/** No underscore: tfjs splits its kernel keys at it. tfjs-node registers its kernels under this name. */
export const backendName = 'tensorflow'

/** tfjs-node's backend, with 16-bit tensors and what our kernels need of it. */
export interface TensorflowBackend extends NodeKernelBackend, OpDevice {
  readonly stepConstants: StepConstants
  /** These three are the pack's to set. */
  computeDtype: number
  fusedOps: ReadonlySet<string>
  availableBytes: number
  /** The tensor's handle; uploads what waits in JavaScript. Stays the tensor's. */
  handleOf(tensor: TensorInfo): TfeTensor
  /** A handle that becomes a tensor's, for the engine to count and free. 16-bit ones are labelled float32. */
  adopt(handle: TfeTensor): TensorInfo
}

const backends = new WeakSet<object>()

export function isTensorflowBackend(value: unknown): value is TensorflowBackend {
  return typeof value === 'object' && value !== null && backends.has(value)
}

/** Models have a few dozen of them. */
const maxScalars = 1024

/** A class of its own for each tfjs-node, which is only there at run time. */
export function createTensorflowBackend({
  NodeJSKernelBackend,
  binding,
  packageName,
}: LoadedTensorflow): TensorflowBackend {
  class OctavoTensorflowBackend extends NodeJSKernelBackend implements TensorflowBackend {
    readonly stepConstants: StepConstants = new StepConstants(this, (handle) => this.adopt(handle))
    computeDtype: number = tfDtype.float32
    fusedOps: ReadonlySet<string> = new Set()
    availableBytes = 0
    readonly #scalars = new Map<string, TfeTensor>()

    handleOf(tensor: TensorInfo): TfeTensor {
      const [id] = this.getInputTensorIds([tensor])
      assert(id !== undefined, 'a tensor has no handle')
      return { id, shape: [...tensor.shape], dtype: this.tensorMap.get(tensor.dataId).dtype }
    }

    adopt({ id, shape, dtype }: TfeTensor): TensorInfo {
      const dataId = {}
      this.tensorMap.set(dataId, { shape, dtype, id, values: null, refCount: 1 })
      return { dataId, shape, dtype: dtype === tfDtype.int32 ? 'int32' : dtype === tfDtype.bool ? 'bool' : 'float32' }
    }

    scalar(value: number, dtype: number = tfDtype.float32): TfeTensor {
      const key = `${value} ${dtype}`
      let scalar = this.#scalars.get(key)
      if (scalar === undefined) {
        assert(this.#scalars.size < maxScalars, `more than ${maxScalars} scalars`)
        scalar = withOps(this, (ops) => ops.release(ops.cast(ops.floats(Float32Array.of(value), []), dtype)))
        this.#scalars.set(key, scalar)
      }
      return scalar
    }

    /** tfjs-node knows no 16-bit outputs: it would throw and leak them. */
    override createOutputTensor(output: TfeTensor): Tensor {
      return is16Bit(output.dtype)
        ? engine().makeTensorFromTensorInfo(this.adopt(output))
        : super.createOutputTensor(output)
    }

    /** `read` calls it too. */
    override readSync(dataId: DataId): backendUtil.BackendValues {
      const { id, dtype, shape, values } = this.tensorMap.get(dataId)
      if (values !== null || id === null || !is16Bit(dtype)) return super.readSync(dataId)
      return withOps(this, (ops) => {
        const wide = ops.cast({ id, dtype, shape }, tfDtype.float32)
        return asFloats(this.binding.tensorDataSync(wide.id))
      })
    }

    override dispose(): void {
      for (const { id } of this.#scalars.values()) this.binding.deleteTensor(id)
      this.#scalars.clear()
      super.dispose()
    }
  }
  const backend = new OctavoTensorflowBackend(binding, packageName)
  backends.add(backend)
  return backend
}

/** A handle's values on the host. */
export function readFloats(ops: OpScope, x: TfeTensor): Float32Array {
  return asFloats(ops.device.binding.tensorDataSync(ops.cast(x, tfDtype.float32).id))
}

function asFloats(values: unknown): Float32Array {
  assert(values instanceof Float32Array, 'a float32 tensor reads as a Float32Array')
  return values
}
