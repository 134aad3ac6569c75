import {
  Add,
  Concat,
  getKernel,
  Multiply,
  RealDiv,
  Reshape,
  Slice,
  slice_util as sliceUtil,
  Sub,
} from '@tensorflow/tfjs-core'
import type { KernelConfig, TensorInfo } from '@tensorflow/tfjs-core'
import { assert } from '../../../util/assert.ts'
import type { TfeTensor } from '../libtensorflow/tfjs-binding.ts'
import { withOps } from '../op-scope.ts'
import type { OpScope } from '../op-scope.ts'
import { backendName, isTensorflowBackend } from '../tensorflow-backend.ts'
import { tfDtype } from '../tf-op.ts'

interface StandardCall {
  readonly ops: OpScope
  readonly tensors: readonly TensorInfo[]
  readonly handles: readonly TfeTensor[]
  readonly attrs: object
}

/**
 * tfjs's own ops that models use between ours. tfjs-node's kernels for them make tensors of their arguments through the
 * engine, which takes two to three times as long, and cannot join or combine 16-bit tensors. What is not a float32
 * tensor goes to tfjs-node's kernel.
 *
 * @returns configurations in place of those that are registered
 */
export function standardConfigs(): KernelConfig[] {
  const binary = (kernelName: string, op: string): KernelConfig =>
    replaceStandard(kernelName, ({ ops, handles }) => ops.run(op, toOneDtype(ops, handles)))
  return [
    binary(Add, 'AddV2'),
    binary(Sub, 'Sub'),
    binary(Multiply, 'Mul'),
    binary(RealDiv, 'RealDiv'),
    replaceStandard(Reshape, ({ ops, handles, attrs }) =>
      ops.reshape(first(handles), listOf(Reflect.get(attrs, 'shape'))),
    ),
    replaceStandard(Slice, ({ ops, tensors, handles, attrs }) => {
      const from = listOf(Reflect.get(attrs, 'begin'))
      const [begin = [], size = []] = sliceUtil.parseSliceParams(
        first(tensors),
        from,
        listOf(Reflect.get(attrs, 'size')),
      )
      return ops.slice(first(handles), begin, size)
    }),
    replaceStandard(Concat, ({ ops, handles, attrs }) =>
      // One part alone still is a new tensor to the engine.
      ops.run('Identity', [ops.concat(toOneDtype(ops, handles), numberOf(attrs, 'axis'))]),
    ),
  ]
}

function replaceStandard(kernelName: string, run: (call: StandardCall) => TfeTensor): KernelConfig {
  const original = getKernel(kernelName, backendName)
  assert(original !== undefined, `tfjs-node's kernel ${kernelName} is not registered`)
  return {
    ...original,
    kernelFunc(call) {
      const { inputs, attrs, backend } = call
      assert(isTensorflowBackend(backend), `${kernelName} runs on the tensorflow backend only`)
      const tensors = Object.values(inputs as Record<string, TensorInfo>)
      if (!tensors.every(({ dtype }) => dtype === 'float32')) return original.kernelFunc(call)
      return withOps(backend, (ops) => {
        const handles = tensors.map((tensor) => backend.handleOf(tensor))
        return backend.adopt(ops.release(run({ ops, tensors, handles, attrs: attrs ?? {} })))
      })
    },
  }
}

/** Float32 where their dtypes differ: the residual stream and constants of a model are. */
function toOneDtype(ops: OpScope, handles: readonly TfeTensor[]): TfeTensor[] {
  const { dtype } = first(handles)
  const isSame = handles.every((handle) => handle.dtype === dtype)
  return handles.map((handle) => ops.cast(handle, isSame ? dtype : tfDtype.float32))
}

function first<T>(list: readonly T[]): T {
  const [item] = list
  assert(item !== undefined, 'a kernel misses an input')
  return item
}

function numberOf(attrs: object, name: string): number {
  const value: unknown = Reflect.get(attrs, name)
  assert(typeof value === 'number', `a kernel misses its number ${name}`)
  return value
}

/** tfjs takes one number for a list of one. */
function listOf(value: unknown): number[] {
  assert(Array.isArray(value) || typeof value === 'number', 'a kernel misses its list of numbers')
  return Array.isArray(value) ? value.map(Number) : [value]
}
