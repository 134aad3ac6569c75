import { existsSync, readFileSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { z } from 'zod'
import { readEnv } from '../../../config/env.ts'

/** What `octavo tensorflow link` leaves in its folder beside the binding. */
const manifestSchema = z.object({
  format: z.literal(1),
  /** What TF_Version said. */
  version: z.string(),
  /** What it was built for; `unknown` where no wheel says so. */
  flavour: z.enum(['cpu', 'cuda', 'rocm', 'unknown']),
  /** The library that the binding loads. */
  library: z.string(),
  /** The CUDA that TensorFlow was built for, as its wheel says; null where it is none or unknown. */
  cuda: z.object({ version: z.string().nullable(), cudnn: z.string().nullable() }).nullable(),
  tfjsNode: z.string(),
  compiler: z.string(),
})

export type LinkManifest = z.infer<typeof manifestSchema>

export const bindingFileName = 'tfjs_binding.node'
export const manifestFileName = 'octavo-tensorflow.json'

/** Where a binding may be, and what is known of it. */
export interface LinkedBinding {
  readonly file: string
  readonly manifest: LinkManifest | null
}

/** `$XDG_DATA_HOME/octavo/tensorflow/linux-x64`, by default in `~/.local/share`. */
export function defaultLinkFolder(env?: Readonly<Record<string, string | undefined>>): string {
  const dataHome = readEnv(env).dataHome ?? path.join(os.homedir(), '.local', 'share')
  return path.join(dataHome, 'octavo', 'tensorflow', `${process.platform}-${process.arch}`)
}

/**
 * The binding that `OCTAVO_TENSORFLOW` names (a file, or a folder that link made), else the one in the default folder.
 * Null where neither is set nor there; a named one is returned even if it does not exist.
 */
export function findLinkedBinding(env?: Readonly<Record<string, string | undefined>>): LinkedBinding | null {
  const named = readEnv(env).tensorflow
  if (named !== null) {
    const isFolder = statSync(named, { throwIfNoEntry: false })?.isDirectory() === true
    return isFolder ? inFolder(named) : { file: path.resolve(named), manifest: null }
  }
  const linked = inFolder(defaultLinkFolder(env))
  return existsSync(linked.file) ? linked : null
}

function inFolder(folder: string): LinkedBinding {
  return { file: path.resolve(folder, bindingFileName), manifest: readManifest(folder) }
}

/** Null where it is missing or not a manifest: the binding alone suffices to run. */
function readManifest(folder: string): LinkManifest | null {
  try {
    const parsed = manifestSchema.safeParse(JSON.parse(readFileSync(path.join(folder, manifestFileName), 'utf8')))
    return parsed.success ? parsed.data : null
  } catch {
    return null
  }
}
