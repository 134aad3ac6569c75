import { formatBytes } from '@octavo/core'
import { loadTensorflow, type LinkManifest, type TfDevice } from '@octavo/core/tensorflow'
import { explainMissingGpu } from './missing-gpu.ts'

/** The libtensorflow that the backend would use, or why there is none. */
export type TensorflowDescription =
  | { readonly reason: string }
  | {
      readonly version: string
      readonly flavour: LinkManifest['flavour']
      readonly cuda: LinkManifest['cuda']
      readonly isUsingGpu: boolean
      /** Why a TensorFlow for CUDA runs on the CPU, else null. */
      readonly missingGpu: string | null
      readonly devices: readonly TfDevice[]
      readonly binding: string
      /** Why it runs without fused ops, else null. */
      readonly missingOps: string | null
    }

/** Loads it, if there is one. */
export function describeTensorflow(): TensorflowDescription {
  const loaded = loadTensorflow()
  if ('reason' in loaded) return loaded
  const { binding, version, manifest, source, fusedOps } = loaded
  const [flavour, cuda, isUsingGpu] = [
    manifest?.flavour ?? 'unknown',
    manifest?.cuda ?? null,
    binding.isUsingGpuDevice(),
  ]
  return {
    version,
    flavour,
    cuda,
    isUsingGpu,
    missingGpu: flavour === 'cuda' && !isUsingGpu ? explainMissingGpu(cuda?.version ?? null) : null,
    devices: binding.listDevices?.() ?? [],
    binding: source,
    missingOps: fusedOps.missing,
  }
}

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
