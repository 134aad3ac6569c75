import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** Models that ship inside the package, by the name that users give. */
export const embeddedModelNames: readonly string[] = ['octavo-tiny']

/** The folder of an embedded model, or `null` where this installation left it out. */
export function embeddedModelPath(name: string): string | null {
  // This module runs as src/loading/embedded-model.ts or bundled as dist/*.js: `models/` is two folders up, or one.
  for (const up of ['../../models', '../models']) {
    const folder = join(fileURLToPath(new URL(up, import.meta.url)), name)
    if (existsSync(join(folder, 'config.json'))) return folder
  }
  return null
}
