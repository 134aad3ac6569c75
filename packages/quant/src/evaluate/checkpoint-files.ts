import { readdirSync, statSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

/** The files that hold a checkpoint's weights: of a folder those of safetensors, of a split `.gguf` file all its parts. */
export function checkpointFiles(path: string): string[] {
  if (statSync(path).isDirectory())
    return readdirSync(path)
      .filter((name) => name.endsWith('.safetensors'))
      .map((name) => join(path, name))
  const part = /^(.*-)\d{5}(-of-\d{5}\.gguf)$/.exec(basename(path))
  if (part === null) return [path]
  const [, start = '', end = ''] = part
  return readdirSync(dirname(path))
    .filter((name) => name.startsWith(start) && name.endsWith(end) && name.length === basename(path).length)
    .map((name) => join(dirname(path), name))
}
