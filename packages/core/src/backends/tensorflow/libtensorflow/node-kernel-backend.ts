import type { backend_util, DataId, DataType, KernelBackend, Tensor, TensorInfo } from '@tensorflow/tfjs-core'
import type { TfeOpAttr, TfeTensor, TfjsBinding } from './tfjs-binding.ts'

/** What tfjs-node keeps of a tensor; `dtype` is a TF_DataType once there is a handle. */
export interface NodeTensorData {
  readonly shape: number[]
  readonly dtype: number
  /** The handle, or null while the values wait in JavaScript for their first use. */
  id: number | null
  values: backend_util.BackendValues | null
  refCount: number
}

/** tfjs-node's backend (`dist/nodejs_kernel_backend.js`), with the members that it declares private and we need. */
export interface NodeKernelBackend extends KernelBackend {
  readonly binding: TfjsBinding
  readonly isGPUPackage: boolean
  readonly isUsingGpuDevice: boolean
  readonly tensorMap: {
    get(dataId: DataId): NodeTensorData
    set(dataId: DataId, data: NodeTensorData): void
    has(dataId: DataId): boolean
    delete(dataId: DataId): boolean
    numDataIds(): number
  }
  getDTypeInteger(dtype: DataType): number
  createOutputTensor(output: TfeTensor): Tensor
  /** Handles of the inputs; uploads what waits in JavaScript. */
  getInputTensorIds(tensors: readonly TensorInfo[]): number[]
  executeSingleInput(name: string, input: TensorInfo): Tensor
  executeSingleOutput(name: string, attrs: readonly TfeOpAttr[], inputs: readonly TensorInfo[]): Tensor
  executeMultipleOutputs(
    name: string,
    attrs: readonly TfeOpAttr[],
    inputs: readonly TensorInfo[],
    numOutputs: number,
  ): Tensor[]
}

export type NodeKernelBackendClass = new (binding: TfjsBinding, packageName: string) => NodeKernelBackend
