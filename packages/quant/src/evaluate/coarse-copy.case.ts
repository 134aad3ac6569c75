import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { embeddedModelPath } from '@octavo/core/loading'

/** A worse octavo-tiny, as fixtures/evaluation/make.py makes it: of every bfloat16 the lowest bits are cleared. */
export function createCoarseCopy(mask = 0xe0): { readonly path: string; [Symbol.dispose](): void } {
  const path = mkdtempSync(join(tmpdir(), 'octavo-coarse-'))
  cpSync(embeddedModelPath('octavo-tiny'), path, { recursive: true })
  const file = join(path, 'model.safetensors')
  const bytes = readFileSync(file)
  for (let i = 8 + Number(bytes.readBigUInt64LE(0)); i < bytes.length; i += 2) bytes[i]! &= mask
  rmSync(file)
  writeFileSync(file, bytes)
  return { path, [Symbol.dispose]: () => rmSync(path, { recursive: true, force: true }) }
}
