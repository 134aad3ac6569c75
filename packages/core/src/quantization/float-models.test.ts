import { setBackend } from '@tensorflow/tfjs-core'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { beforeAll, describe, expect, it } from 'vitest'
import type { BackendPack } from '../backends/backend-pack.ts'
import { createCpuPack } from '../backends/cpu/cpu-pack.ts'
import { CheckpointError } from '../errors.ts'
import { type GoldenFiles, loadModel, readJson } from '../models/golden-models.case.ts'
import { StepRunner } from '../models/step-runner.case.ts'
import { planesOf } from '../tensor/grouped-format.ts'
import { isGrouped, weightBytes, type PackedWeightSpec, type StoredRows } from '../tensor/packed-weight.ts'

const fixtures = fileURLToPath(new URL('../../../../fixtures/quantized-floats/', import.meta.url))

interface Packed extends PackedWeightSpec {
  readonly bytes: Uint8Array
  readonly stored: readonly StoredRows[] | null
}

let pack: BackendPack
beforeAll(async () => {
  pack = await createCpuPack()
  await setBackend('cpu')
})

/** Sees what is packed. */
function watching(seen: Packed[]): BackendPack {
  return {
    ...pack,
    packWeight(spec, fill, stored = null) {
      const bytes = new Uint8Array(weightBytes(spec))
      fill(bytes)
      seen.push({ ...spec, bytes, stored })
      return pack.packWeight(spec, fill, stored)
    },
  }
}

async function packedOf(folder: string): Promise<Packed[]> {
  const seen: Packed[] = []
  const model = await loadModel(`${fixtures}${folder}`, { pack: watching(seen) })
  model.dispose()
  return seen
}

describe('weights of a checkpoint in floats', () => {
  // 4 bits and a bfloat16 for 32 columns; 4 bits and a float32 for 16; 8 bits and a float32 for a row of 64 or 128.
  it.each([
    ['gpt-oss-mxfp4', 4.5],
    ['ct-mxfp4', 4.5],
    ['ct-nvfp4', 6],
    ['modelopt-nvfp4', 6],
    ['bnb-fp4', 4.5],
    ['fp8-tensor', 8.5],
    ['mxfp8', 8.5],
  ] as const)('%s take %d bits each', async (folder, bits) => {
    const grouped = (await packedOf(folder)).filter(({ format }) => isGrouped(format))
    expect(grouped.length).toBeGreaterThanOrEqual(8)
    for (const { rows, cols, bytes } of grouped) expect((8 * bytes.length) / (rows * cols)).toBeLessThanOrEqual(bits)
  })

  it('lie apart by gate and up projection, which alternate in the file of gpt-oss', async () => {
    const [first] = (await packedOf('gpt-oss-mxfp4')).filter(({ format }) => isGrouped(format))
    expect(first).toMatchObject({ rows: 128, cols: 64, format: { codebook: 'e2m1', groupSize: 32 } })
    const file = readFileSync(`${fixtures}gpt-oss-mxfp4/model.safetensors`)
    const headerBytes = Number(file.readBigUInt64LE(0))
    const header = JSON.parse(file.toString('utf8', 8, 8 + headerBytes))
    const start = 8 + headerBytes + header['model.layers.0.mlp.experts.gate_up_proj_blocks'].data_offsets[0]
    const row = (index: number): Buffer => file.subarray(start + 32 * index, start + 32 * (index + 1))
    for (const [packed, stored] of [
      [0, 0],
      [1, 2],
      [63, 126],
      [64, 1],
      [127, 127],
    ] as const)
      expect(row(stored).equals(first!.bytes.subarray(32 * packed, 32 * (packed + 1)))).toBe(true)
  })

  it('are read by the backend itself where the file has all planes as they are', async () => {
    const grouped = (await packedOf('fbgemm-fp8')).filter(({ format }) => isGrouped(format))
    expect(grouped.length).toBeGreaterThanOrEqual(8)
    const file = readFileSync(`${fixtures}fbgemm-fp8/model.safetensors`)
    for (const { format, rows, cols, bytes, stored } of grouped) {
      if (!isGrouped(format)) continue
      const planes = planesOf({ format, rows, cols })
      const read = (plane: 'codes' | 'scales'): Buffer[] =>
        stored!
          .filter((run) => run.plane === plane)
          .flatMap(({ position, stride, count }) =>
            Array.from({ length: count }, (_, row) =>
              file.subarray(position + row * stride, position + row * stride + planes[plane].stride),
            ),
          )
      expect(Buffer.concat([...read('codes'), ...read('scales')]).equals(bytes)).toBe(true)
    }
  })

  it.each(['gpt-oss-mxfp4', 'bnb-nf4-nested'])('are dequantized where a dtype is asked for: %s', async (folder) => {
    const seen: Packed[] = []
    const model = await loadModel(`${fixtures}${folder}`, { pack: watching(seen), dtype: 'float32' })
    expect(new Set(seen.map(({ format }) => format))).toEqual(new Set(['float32']))
    const { files } = readJson<GoldenFiles>(`${fixtures}golden.json`)
    const [output] = files.find(({ file }) => file === folder)!.outputs
    const runner = new StepRunner(model, pack)
    const [logits] = runner.step([{ sequence: runner.add(output!.ids), numTokens: output!.ids.length }], 'last')
    const scale = Math.max(...output!.last_logits.map(Math.abs))
    output!.last_logits.forEach((value, i) => expect(Math.abs(value - logits![i]!) / scale).toBeLessThan(2e-3))
    runner.dispose()
    model.dispose()
    expect(pack.usedBytes).toBe(0)
  })
})

describe('files that are wrong', () => {
  it('say which tensor, and leave nothing behind', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'octavo-floats-'))
    try {
      cpSync(`${fixtures}gpt-oss-mxfp4`, folder, { recursive: true })
      const load = (): Promise<unknown> => loadModel(folder, { pack })
      const file = join(folder, 'model.safetensors')
      const bytes = readFileSync(file)
      const headerBytes = Number(bytes.readBigUInt64LE(0))
      const header = JSON.parse(bytes.toString('utf8', 8, 8 + headerBytes))
      const { data_offsets: offsets } = header['model.layers.1.mlp.experts.down_proj_scales']
      bytes[8 + headerBytes + offsets[1] - 1] = 255
      writeFileSync(file, bytes)
      await expect(load).rejects.toThrow(CheckpointError)
      await expect(load).rejects.toThrow(/"model\.layers\.1\.mlp\.experts\.3\.down_proj\.scales": row 63 has a scale/)
      const { quantization_config: _, ...config } = readJson<Record<string, unknown>>(join(folder, 'config.json'))
      writeFileSync(join(folder, 'config.json'), JSON.stringify(config))
      await expect(load).rejects.toThrow(/"model\.layers\.0\.mlp\.experts\.0\.gate_up_proj\.weight": missing/)
      expect(pack.usedBytes).toBe(0)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })
})
