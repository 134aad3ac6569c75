import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { ModelNotFoundError } from '../errors.ts'
import { packageFile } from '../util/package-file.ts'

/** Models that ship inside the package, by the name that users give. */
export const embeddedModelNames: readonly string[] = ['octavo-tiny']

/**
 * The folder of an embedded model.
 * @throws ModelNotFoundError where this installation left it out
 */
export function embeddedModelPath(name: string): string {
  const folder = packageFile(`models/${name}`)
  if (existsSync(join(folder, 'config.json'))) return folder
  throw new ModelNotFoundError(
    name,
    `"${name}" ships with @octavo/core, but its files are not at ${folder}, as where a bundler has taken the code alone: leave octavo's packages external (docs/bundlers.md).`,
  )
}
