import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { packageFile } from '../util/package-file.ts'

/** Models that ship inside the package, by the name that users give. */
export const embeddedModelNames: readonly string[] = ['octavo-tiny']

/** The folder of an embedded model, or `null` where this installation left it out. */
export function embeddedModelPath(name: string): string | null {
  const folder = packageFile(`models/${name}`)
  return existsSync(join(folder, 'config.json')) ? folder : null
}
