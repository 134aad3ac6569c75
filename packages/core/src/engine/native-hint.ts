import { existsSync } from 'node:fs'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { EngineModule } from '../config/engine-module.ts'
import { readEnv } from '../config/env.ts'

/** A name in a message, no import: core knows of this package only that a user may have overlooked it. */
const nativePackage = '@octavo/backend-native'

export interface NativeHintOptions {
  /** What the caller asked for. */
  readonly wanted: string
  /** What serves. */
  readonly backend: string
  readonly modules: readonly EngineModule[]
  /** Files from which a program's packages are found. */
  readonly from?: readonly string[]
}

/** What to say where the slow backend serves by default, although the fast one is installed; null where that is not so. */
export function nativeHint({ wanted, backend, modules, from }: NativeHintOptions): string | null {
  const isChosen = wanted !== 'auto' || readEnv().backend !== null
  const isSlow = backend === 'wasm' || backend === 'cpu'
  if (isChosen || !isSlow || modules.some(({ kind, name }) => kind === 'backend' && name === 'native')) return null
  if (!(from ?? [fileURLToPath(import.meta.url), process.argv[1] ?? '.']).some(hasNative)) return null
  return `the backend ${backend} serves, although ${nativePackage} is installed and faster: pass { modules: [nativeBackend] } from it, or import LLM from 'octavo', which does; { backend: '${backend}' } keeps this one`
}

/** As `import` looks for packages, which unlike `require` does not heed NODE_PATH. */
function hasNative(file: string): boolean {
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    if (existsSync(path.join(folder, 'node_modules', nativePackage, 'package.json'))) return true
    if (folder === path.dirname(folder)) return false
  }
}
