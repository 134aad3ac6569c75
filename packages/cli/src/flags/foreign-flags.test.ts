import { describe, expect, it } from 'vitest'
import { createProgram } from '../program.ts'

/** What the command says of flags that it refuses. */
async function refusalOf(...args: readonly string[]): Promise<string> {
  let said = ''
  const program = createProgram()
  const { outputError } = program.configureOutput()
  for (const command of [program, ...program.commands])
    command.configureOutput({ outputError, writeErr: (text) => (said += text) })
  await expect(program.parseAsync(args, { from: 'user' })).rejects.toThrow('unknown option')
  return said
}

describe('a flag that is none', () => {
  it.each([
    ['--tensor-parallel-size', /^error: unknown option '--tensor-parallel-size'; --tp says it\n$/],
    ['-tp', /'; --tp says it/],
    ['--gpu-memory-utilization', /'; --kv-cache-memory says it for the KV cache: a size such as 2GiB/],
    ['--model', /'; the model is the first argument/],
    ['--tool-call-parser', /'; how a model writes calls is found in its chat template.*--chat-template/],
    ['--enable-auto-tool-choice', /'; tools may be called wherever the chat template has them/],
    ['--no-enforce-eager', /'; there are no graphs to capture/],
  ])('%s of vLLM is answered with the remedy, on one line', async (flag, said) => {
    const text = await refusalOf('serve', flag, '2')
    expect(text).toMatch(said)
    expect(text.trim().split('\n')).toHaveLength(1)
  })

  it('%s otherwise with the nearest', async () => {
    expect(await refusalOf('run', '--max-model-length', '9', 'm', 'p')).toContain('Did you mean --max-model-len?')
  })
})
