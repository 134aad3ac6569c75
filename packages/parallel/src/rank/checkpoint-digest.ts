import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import path from 'node:path'

/**
 * Tells checkpoints apart without reading their weights: the configuration's text, and names and sizes of the files that
 * hold weights. Ranks that load different ones would compute nonsense together.
 */
export function checkpointDigest(modelPath: string): string {
  const isFolder = statSync(modelPath).isDirectory()
  const folder = isFolder ? modelPath : path.dirname(modelPath)
  const names = isFolder
    ? readdirSync(folder).filter((name) => /[.](safetensors|gguf)$/.test(name))
    : [path.basename(modelPath)]
  const hash = createHash('sha256')
  for (const name of ['config.json']) hash.update(tryRead(isFolder ? path.join(folder, name) : null))
  for (const name of names.sort()) hash.update(`${name} ${statSync(path.join(folder, name)).size}\n`)
  return hash.digest('hex').slice(0, 16)
}

function tryRead(file: string | null): string {
  try {
    return file === null ? '' : readFileSync(file, 'utf8')
  } catch {
    return ''
  }
}
