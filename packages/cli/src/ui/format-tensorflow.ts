import { formatBytes } from '@octavo/core'
import type { LinkManifest, TensorflowDescription, TfDevice } from '@octavo/core/tensorflow'

/** One line for people. */
export function formatTensorflow(description: TensorflowDescription): string {
  if ('reason' in description) return `none: ${description.reason}`
  const { version, flavour, cuda, isUsingGpu, missingGpu, devices, binding, missingOps } = description
  const names = devices.length > 0 ? formatDevices(devices) : isUsingGpu ? 'a GPU' : 'CPU'
  const device = `${names}${missingGpu === null ? '' : ` only: ${missingGpu}`}`
  const ops = missingOps === null || isUsingGpu ? '' : ` (without fused ops: ${missingOps})`
  return `${version} (${flavour === 'cuda' ? formatCuda(cuda) : flavour}) on ${device}; ${binding}${ops}`
}

/** `CPU, GPU:0 (76.4 GiB)`; of the host's memory TensorFlow gives a nominal number only. */
export function formatDevices(devices: readonly TfDevice[]): string {
  return devices
    .map(({ type, name, memoryBytes }) =>
      type === 'CPU' ? type : `${name.replace(/^.*device:/, '')} (${formatBytes(memoryBytes)})`,
    )
    .join(', ')
}

function formatCuda(cuda: LinkManifest['cuda']): string {
  const parts = [`CUDA ${cuda?.version ?? 'of unknown version'}`]
  if (cuda?.cudnn != null) parts.push(`cuDNN ${cuda.cudnn}`)
  return parts.join(', ')
}
