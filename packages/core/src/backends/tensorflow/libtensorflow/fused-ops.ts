import { existsSync } from 'node:fs'
import path from 'node:path'
import { messageOf } from '../../../util/message-of.ts'
import type { LinkedBinding } from './linked-folder.ts'
import type { TfjsBinding } from './tfjs-binding.ts'

/** What `octavo tensorflow link` calls its library of fused ops. */
export const opsFileName = 'octavo_tensorflow_ops.so'

export interface FusedOps {
  /** Ops of ours that run on the device in use, by their TensorFlow names. */
  readonly names: ReadonlySet<string>
  /** Why there are none; null where there are. */
  readonly missing: string | null
}

/**
 * Loads the library of fused ops beside the binding. It is tied to the very TensorFlow that it was compiled against, so any
 * other one goes without.
 */
export function loadFusedOps(binding: TfjsBinding, { file, manifest }: LinkedBinding): FusedOps {
  const library = path.join(path.dirname(file), opsFileName)
  if (binding.loadOps === undefined || !existsSync(library)) return without('link built none')
  if (manifest?.version !== binding.TF_Version) return without(`they are not for TensorFlow ${binding.TF_Version}`)
  try {
    const [device, ...names] = binding.loadOps(library).split(' ')
    const inUse = binding.isUsingGpuDevice() ? 'GPU' : 'CPU'
    return device === inUse ? { names: new Set(names), missing: null } : without(`they are for the ${device}`)
  } catch (error) {
    return without(messageOf(error).split('\n', 1)[0] ?? '')
  }
}

function without(missing: string): FusedOps {
  return { names: new Set(), missing }
}
