import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { CheckpointError } from '@octavo/core/backend'
import { openSafetensors } from '@octavo/core/loading'
import { QuantizationError } from '@octavo/core/quantization'
import { describe, expect, it } from 'vitest'
import { tensorOf, writeSafetensorsFile } from '../checkpoint/safetensors-file.ts'
import { fixturePath } from '../model/fixture-layers.case.ts'
import { roundToNearest } from '../quantize/round-to-nearest-pass.ts'
import { pipeline } from './pipeline.ts'
import type { SaveOptions } from './pipeline-options.ts'
import { temporaryFolder } from './saved-models.case.ts'

const rounded = roundToNearest({ groupSize: 16 })

function save(model: string, target: string, options: SaveOptions = {}): Promise<unknown> {
  return pipeline(model, { backend: 'wasm' }).apply(rounded).save(target, options)
}

function copyModel(folder: string, name = 'model'): string {
  const copy = join(folder, name)
  cpSync(fixturePath('llama'), copy, { recursive: true })
  return copy
}

/** The same checkpoint with one tensor more. */
function addTensor(model: string, name: string): void {
  const file = join(model, 'model.safetensors')
  const source = openSafetensors(file)
  const tensors = source.names().map((stored) => {
    const { dtype, shape, sizeInBytes, read } = source.raw(stored)!
    const bytes = new Uint8Array(sizeInBytes)
    read(bytes)
    return tensorOf({ name: stored, dtype, shape, bytes })
  })
  source.close()
  writeSafetensorsFile(file, [
    ...tensors,
    tensorOf({ name, dtype: 'float32', shape: [2, 2], bytes: new Uint8Array(16) }),
  ])
}

describe('a target that is or holds what is read', () => {
  it.each([true, false])('is refused, with overwrite: %s', async (overwrite) => {
    const folder = temporaryFolder()
    const model = copyModel(folder)
    symlinkSync(model, join(folder, 'link'))
    for (const target of [model, folder, join(folder, 'link')])
      await expect(save(model, target, { overwrite })).rejects.toThrow(
        /(is|holds) the model that is read .*would be gone; choose another folder/,
      )
    expect(readdirSync(folder).toSorted()).toEqual(['link', 'model'])
    expect(readFileSync(join(model, 'model.safetensors'))).toEqual(
      readFileSync(join(fixturePath('llama'), 'model.safetensors')),
    )
  })

  it('may lie in it, or be a place where nothing can be, which is said', async () => {
    const folder = temporaryFolder()
    const model = copyModel(folder)
    await save(model, join(model, 'w4'))
    expect(existsSync(join(model, 'w4', 'model.safetensors'))).toBe(true)
    await expect(save(model, join(model, 'config.json', 'w4'))).rejects.toThrow(/can't be written \(ENOTDIR\); choose/)
    await expect(save(model, join(folder, 'x'.repeat(300)))).rejects.toThrow(/can't be written \(ENAMETOOLONG\)/)
    symlinkSync(join(folder, 'nowhere'), join(folder, 'dangling'))
    await expect(save(model, join(folder, 'dangling'))).rejects.toThrow(/is there already/)
    await expect(save(model, '/')).rejects.toThrow(/can't be the target/)
  })
})

describe('weights that no layer reads', () => {
  it.each(['model.layers.1.mlp.what.weight', 'model.what.weight', 'model.layers.7.mlp.up_proj.weight'])(
    '%s is an error, and nothing is left behind',
    async (name) => {
      const folder = temporaryFolder()
      const model = copyModel(folder)
      addTensor(model, name)
      const result = save(model, join(folder, 'w4'))
      await expect(result).rejects.toThrow(`no layer reads "${name}"`)
      await expect(result).rejects.toBeInstanceOf(CheckpointError)
      expect(existsSync(join(folder, 'w4'))).toBe(false)
    },
  )
})

describe('a run that makes nothing', () => {
  it('is told so where names select no module', async () => {
    const folder = temporaryFolder()
    for (const selection of [{ targets: ['re:nothing'] }, { ignore: ['re:.*'] }]) {
      const result = pipeline(fixturePath('llama'), { backend: 'wasm' })
        .apply(roundToNearest({ groupSize: 16, ...selection }))
        .save(join(folder, 'w4'))
      await expect(result).rejects.toThrow(/no module is quantized: .*such as model\.layers\.0\.self_attn\.q_proj/)
      await expect(result).rejects.toBeInstanceOf(QuantizationError)
    }
    expect(readdirSync(folder)).toEqual([])
  })

  it('leaves nothing that a corrected one would be refused for', async () => {
    const folder = temporaryFolder()
    const target = join(folder, 'w4')
    const wrong = pipeline(fixturePath('llama'), { backend: 'wasm' }).apply(roundToNearest({ groupSize: 48 }))
    await expect(wrong.save(target)).rejects.toThrow(/no whole number of groups of 48/)
    expect(readdirSync(folder)).toEqual([])
    // One that was killed before its first layer was finished has left its identity.
    mkdirSync(join(folder, '.w4.octavo'))
    writeFileSync(join(folder, '.w4.octavo', 'run.json'), '{"version":1}')
    await save(fixturePath('llama'), target)
    expect(readdirSync(folder)).toEqual(['w4'])
  })
})

it('names a file of the model that is a link to nothing', async () => {
  const folder = temporaryFolder()
  const model = copyModel(folder)
  rmSync(join(model, 'tokenizer.json'))
  symlinkSync(join(folder, 'nowhere'), join(model, 'tokenizer.json'))
  await expect(save(model, join(folder, 'w4'))).rejects.toThrow(/tokenizer\.json: can't be read \(ENOENT\)/)
  expect(existsSync(join(folder, 'w4'))).toBe(false)
})
