import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import { helpLayout } from '../ui/help-layout.ts'
import { addQuantizeCommand } from './quantize.ts'

function run(...args: readonly string[]): Promise<unknown> {
  const program = new Command('octavo')
    .configureHelp(helpLayout)
    .exitOverride()
    .configureOutput({ writeErr() {}, writeOut() {} })
  addQuantizeCommand(program)
  return program.parseAsync(['quantize', ...args], { from: 'user' })
}

describe('octavo quantize', () => {
  it('has a flag for each option of the tables, and says what it takes', () => {
    const program = new Command('octavo').configureHelp(helpLayout)
    addQuantizeCommand(program)
    const help = program.commands[0]!.helpInformation()
    for (const flag of [
      '-o, --output',
      '--recipe',
      '--calibration',
      '--scheme',
      '--method',
      '--smooth-quant',
      '--kv-cache-scales',
      '--ignore',
      '--num-samples',
      '--max-seq-length',
      '--mask-prompts',
      '--[no-]head',
      '--[no-]embedding',
      '--seed',
      '--format',
      '--overwrite',
      '--restart',
      '--max-shard-size',
      '--threads',
    ])
      expect(help).toContain(flag)
  })

  it('asks where to, and refuses two ways to say what is done, before a model is looked for', async () => {
    await expect(run('nowhere')).rejects.toThrow(/--output FOLDER/)
    await expect(run('nowhere', '-o', 'x', '--recipe', 'r.yaml', '--method', 'rtn')).rejects.toThrow(/leave one out/)
    await expect(run('nowhere', '-o', 'x', '--recipe', 'r.yaml', '--kv-cache-scales', 'fp8')).rejects.toThrow(
      /--kv-cache-scales: leave one out/,
    )
    await expect(run('nowhere', '-o', 'x', '--recipe', '/nowhere/r.yaml')).rejects.toThrow(/can't be read/)
    await expect(run('nowhere', '-o', 'x', '--scheme', 'W4A17')).rejects.toThrow(/there is no scheme "W4A17"/)
    await expect(run('/nowhere', '-o', 'x', '--method', 'rtn')).rejects.toThrow(/There is no file or folder/)
  })
})
