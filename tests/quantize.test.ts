/** `octavo quantize`, as installed. */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterAll, describe, expect, it } from 'vitest'
import { octavo } from './program.ts'

const calibration = path.join(import.meta.dirname, '..', 'examples/quantize-and-serve/calibration.jsonl')
const folder = mkdtempSync(path.join(tmpdir(), 'octavo-quantize-'))
afterAll(() => rmSync(folder, { recursive: true }))

describe('octavo quantize', () => {
  it('makes a checkpoint that octavo runs, by a recipe', async () => {
    const [recipe, output] = [path.join(folder, 'recipe.yaml'), path.join(folder, 'w4')]
    writeFileSync(
      recipe,
      `quant_stage:
  quant_modifiers:
    GPTQModifier:
      ignore: [lm_head]
      config_groups:
        group_0: { targets: [Linear], weights: { num_bits: 4, group_size: 32, symmetric: false } }
`,
    )
    await using program = octavo([
      'quantize',
      'octavo-tiny',
      '--recipe',
      recipe,
      '--calibration',
      calibration,
      '-o',
      output,
    ])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toMatch(/w4: .* of weights, 35 of 36 modules quantized/)
    expect(program.stderr).toContain('model.layers.4')
    const config = JSON.parse(readFileSync(path.join(output, 'config.json'), 'utf8')) as Record<string, unknown>
    expect(config['quantization_config']).toMatchObject({
      quant_method: 'compressed-tensors',
      format: 'pack-quantized',
    })
    await using answer = octavo(['run', output, 'What is the capital of Norway?', '--temperature', '0'])
    expect(await answer.exitCode, answer.stderr).toBe(0)
    expect(answer.stdout).toMatch(/Oslo/)
    expect(readdirSync(folder).sort()).toEqual(['recipe.yaml', 'w4'])
  })

  it('rounds to the nearest without calibration, in another format', async () => {
    const output = path.join(folder, 'rtn')
    const recipe = path.join(folder, 'rtn.json')
    const weights = { num_bits: 8, group_size: 32 }
    writeFileSync(
      recipe,
      JSON.stringify({ QuantizationModifier: { config_groups: { a: { targets: ['Linear'], weights } } } }),
    )
    await using program = octavo(['quantize', 'octavo-tiny', '--recipe', recipe, '--format', 'gptq', '-o', output])
    expect(await program.exitCode, program.stderr).toBe(0)
    await using again = octavo(['quantize', 'octavo-tiny', '--recipe', recipe, '--format', 'gptq', '-o', output])
    expect(await again.exitCode).toBe(1)
    expect(again.stderr).toMatch(/is there already.*--overwrite/)
  })

  it.each([
    [['octavo-tiny'], 2, '--output FOLDER'],
    [['octavo-tiny', '-o', path.join(folder, 'x')], 1, 'there is no calibration text'],
    [
      ['octavo-tiny', '-o', path.join(folder, 'x'), '--method', 'rtn', '--scheme', 'W4A17'],
      2,
      'there is no scheme "W4A17"',
    ],
    [
      ['octavo-tiny', '-o', path.join(folder, 'x'), '--method', 'rtn', '--max-batch-tokens', '0'],
      2,
      '--max-batch-tokens',
    ],
  ])('refuses %j', async (args, exitCode, reason) => {
    await using program = octavo(['quantize', ...args])
    expect(await program.exitCode).toBe(exitCode)
    expect(program.stderr).toContain(reason)
    expect(existsSync(path.join(folder, 'x'))).toBe(false)
  })
})
