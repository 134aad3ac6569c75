import { text } from 'node:stream/consumers'
import type { PromptInput } from '@octavo/core'
import type { Command } from 'commander'
import { addEngineFlags, type EngineFlags, engineOptionsOf, localGroups } from '../flags/engine-flags.ts'
import { addSamplingFlags, type SamplingFlags, samplingParamsOf } from '../flags/sampling-flags.ts'
import { openEngine } from '../open-engine.ts'
import { onStopSignal } from '../shutdown.ts'
import { UsageError } from '../ui/report-error.ts'

interface RunFlags extends Omit<EngineFlags, 'seed'>, SamplingFlags {
  readonly raw?: boolean
}

export function addRunCommand(program: Command): void {
  const command = program
    .command('run')
    .description('answer one prompt on stdout')
    .argument('<model>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
    .argument('[prompt]', 'the prompt; - or none reads it from a pipe')
    .option('--raw', 'continue the text as it stands, without the chat template')
  addEngineFlags(addSamplingFlags(command), localGroups).action(
    (model: string, prompt: string | undefined, flags: RunFlags) => run(model, prompt, flags),
  )
}

async function run(model: string, prompt: string | undefined, flags: RunFlags): Promise<void> {
  const content = await readPrompt(prompt)
  if (content === '') throw new UsageError('The prompt is empty.')
  await using engine = await openEngine(engineOptionsOf(model, flags, localGroups), flags, { isQuiet: true })
  // Not sooner: while a model is downloaded or loaded there is no answer to stop, and a signal ends the process.
  const controller = new AbortController()
  onStopSignal(() => controller.abort())
  const hasTemplate = engine.models.some(({ hasChatTemplate }) => hasChatTemplate)
  const input = promptOf(content, flags, hasTemplate)
  const request = { requestId: 'run', prompt: input, params: samplingParamsOf(flags), outputKind: 'delta' } as const
  try {
    for await (const { outputs } of engine.generate(request, controller.signal))
      process.stdout.write(outputs[0]?.text ?? '')
  } catch (error) {
    if (!controller.signal.aborted) throw error
    process.exitCode = 130
  }
  process.stdout.write('\n')
}

async function readPrompt(prompt: string | undefined): Promise<string> {
  if (prompt === undefined && process.stdin.isTTY)
    throw new UsageError('There is no prompt: pass one behind the model, or send it through a pipe.')
  return prompt === undefined || prompt === '-' ? (await text(process.stdin)).trimEnd() : prompt
}

function promptOf(content: string, { raw = false, system }: RunFlags, hasTemplate: boolean): PromptInput {
  const isChat = !raw && hasTemplate
  if (!isChat && system !== undefined)
    throw new UsageError('--system needs a chat template: leave out --raw, or pass --chat-template.')
  if (!isChat) return { type: 'text', text: content }
  const systemMessages = system === undefined ? [] : [{ role: 'system', content: system } as const]
  return { type: 'chat', messages: [...systemMessages, { role: 'user', content }] }
}
