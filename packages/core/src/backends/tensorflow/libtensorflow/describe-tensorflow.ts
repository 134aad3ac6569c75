import type { LinkManifest } from './linked-folder.ts'
import { loadTensorflow } from './load-tensorflow.ts'
import { explainMissingGpu } from './missing-gpu.ts'
import type { TfDevice } from './tfjs-binding.ts'

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
