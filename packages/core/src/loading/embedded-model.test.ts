import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, it, vi } from 'vitest'
import { ModelNotFoundError } from '../errors.ts'
import type * as packageFiles from '../util/package-file.ts'
import { embeddedModelPath } from './embedded-model.ts'
import { resolveModelPath } from './hub.ts'

const files = vi.hoisted(() => ({ isBundled: false }))
vi.mock('../util/package-file.ts', async (importOriginal) => {
  const { packageFile } = await importOriginal<typeof packageFiles>()
  return { packageFile: (name: string) => (files.isBundled ? `/nowhere/${name}` : packageFile(name)) }
})

describe('an embedded model', () => {
  it('is a folder of the package', () => {
    expect(existsSync(join(embeddedModelPath('octavo-tiny'), 'model.safetensors'))).toBe(true)
  })

  it('that a bundler has left out is missed by name, with the remedy', async () => {
    files.isBundled = true
    const resolved = resolveModelPath('octavo-tiny')
    await expect(resolved).rejects.toThrow(ModelNotFoundError)
    await expect(resolved).rejects.toThrow(
      /files are not at \/nowhere\/models\/octavo-tiny.*external \(docs\/bundlers.md\)/,
    )
  })
})
