import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import { CheckpointError } from '@octavo/core'

/**
 * Tells checkpoints apart without reading their weights: the configuration's text, and names and sizes of the files that
 * hold weights. Ranks that load different ones would compute nonsense together.
 * @throws CheckpointError where this machine has none there
 */
export function checkpointDigest(modelPath: string): string {
  const stat = statSync(modelPath, { throwIfNoEntry: false })
  if (stat === undefined)
    throw new CheckpointError(
      modelPath,
      `does not exist on ${os.hostname()}; each rank reads the checkpoint from its own disk, under the same path`,
    )
  const folder = stat.isDirectory() ? modelPath : path.dirname(modelPath)
  const names = stat.isDirectory() ? readdirSync(folder).filter(isWeightFile) : [path.basename(modelPath)]
  const hash = createHash('sha256')
  hash.update(stat.isDirectory() ? tryRead(path.join(folder, 'config.json')) : '')
  for (const name of names.sort()) hash.update(`${name} ${statSync(path.join(folder, name)).size}\n`)
  return hash.digest('hex').slice(0, 16)
}

function isWeightFile(name: string): boolean {
  return /[.](safetensors|gguf)$/.test(name)
}

/** A folder with a .gguf file alone has none. */
function tryRead(file: string): string {
  try {
    return readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
