/** What `octavo tensorflow` and other tools need to find, link and check a libtensorflow: `@octavo/core/tensorflow`. */
export { loadTensorflow } from './backends/tensorflow/libtensorflow/load-tensorflow.ts'
export type { LoadedTensorflow, TensorflowUnavailable } from './backends/tensorflow/libtensorflow/load-tensorflow.ts'
export {
  bindingFileName,
  defaultLinkFolder,
  findLinkedBinding,
  manifestFileName,
} from './backends/tensorflow/libtensorflow/linked-folder.ts'
export type { LinkedBinding, LinkManifest } from './backends/tensorflow/libtensorflow/linked-folder.ts'
export { opsFileName } from './backends/tensorflow/libtensorflow/fused-ops.ts'
export type { FusedOps } from './backends/tensorflow/libtensorflow/fused-ops.ts'
export type { TfDevice, TfjsBinding } from './backends/tensorflow/libtensorflow/tfjs-binding.ts'
export { findTfjsNode } from './backends/tensorflow/libtensorflow/tfjs-node-package.ts'
export type { TfjsNodeName, TfjsNodePackage } from './backends/tensorflow/libtensorflow/tfjs-node-package.ts'
export { verifyTensorflow } from './backends/tensorflow/verify-tensorflow.ts'
export type { TensorflowCheck } from './backends/tensorflow/verify-tensorflow.ts'
