import { createInterface, type Interface } from 'node:readline'
import { type AsyncEngine, type ChatMessage, consoleLogger, OctavoError } from '@octavo/core'
import type { Command } from 'commander'
import { addEngineFlags, type EngineFlags, engineOptionsOf, localGroups } from '../flags/engine-flags.ts'
import { addSamplingFlags, type SamplingFlags, samplingParamsOf } from '../flags/sampling-flags.ts'
import { openEngine } from '../open-engine.ts'
import { AnswerWriter } from '../ui/answer-writer.ts'
import { MessageReader } from '../ui/message-reader.ts'

type ChatFlags = Omit<EngineFlags, 'seed'> & SamplingFlags

const help =
  '/clear forgets the conversation, /exit (or Ctrl-D, or Ctrl-C twice) ends it; Ctrl-C stops an answer. \\ at the end of a line, or """ around several, makes them one message.'

/** A second Ctrl-C within this ends the program. */
const secondCtrlCMs = 2000

export function addChatCommand(program: Command): void {
  const command = program
    .command('chat')
    .description('talk to a model in the terminal')
    .argument('<model>', 'a Hugging Face repo id, a folder, a .gguf file, or octavo-tiny')
  addEngineFlags(addSamplingFlags(command), localGroups).action((model: string, flags: ChatFlags) => chat(model, flags))
}

async function chat(model: string, flags: ChatFlags): Promise<void> {
  await using engine = await openEngine(engineOptionsOf(model, flags, localGroups), flags)
  consoleLogger.info(help)
  const conversation = new Conversation(engine, flags)
  const lines = createInterface({
    input: process.stdin,
    output: process.stdout,
    prompt: '> ',
    terminal: process.stdin.isTTY === true,
  })
  let lastAt = -Infinity
  lines.on('SIGINT', () => {
    const isSecond = performance.now() - lastAt < secondCtrlCMs
    lastAt = performance.now()
    if (isSecond) return void process.exit(130)
    const wasAnswering = conversation.abort()
    process.stdout.write('\n')
    consoleLogger.info('Ctrl-C again ends the conversation')
    if (!wasAnswering) lines.prompt()
  })
  await talk(conversation, lines)
}

async function talk(conversation: Conversation, lines: Interface): Promise<void> {
  let isOpen = true
  lines.once('close', () => {
    isOpen = false
  })
  const reader = new MessageReader()
  const prompt = (): void => {
    if (!isOpen || !process.stdin.isTTY) return
    lines.setPrompt(reader.isWithin ? '... ' : '> ')
    lines.prompt()
  }
  prompt()
  for await (const line of lines) {
    const said = reader.add(line)
    if (said === '/exit') break
    // A space in front makes a message of what would be a command.
    if (said !== null && said !== '') await (line.startsWith(' ') ? conversation.say(said) : heed(said, conversation))
    prompt()
  }
  // What was begun is said too: a pipe may end anywhere.
  const rest = reader.end()
  if (rest !== '') await conversation.say(rest)
  lines.close()
}

async function heed(said: string, conversation: Conversation): Promise<void> {
  const command = /^\/[a-z]+(?=\s|$)/i.exec(said)?.[0]
  if (said === '/clear') conversation.clear()
  else if (said === '/help') consoleLogger.info(help)
  else if (command !== undefined)
    consoleLogger.warn(`there is no command ${command}; a space in front makes it a message. ${help}`)
  else await conversation.say(said)
}

/** The messages so far, and the answer being written. */
class Conversation {
  readonly #engine: AsyncEngine
  readonly #flags: ChatFlags
  #messages: ChatMessage[] = []
  #answering: AbortController | null = null
  #numRequests = 0

  constructor(engine: AsyncEngine, flags: ChatFlags) {
    this.#engine = engine
    this.#flags = flags
    this.clear()
  }

  clear(): void {
    const { system } = this.#flags
    this.#messages = system === undefined ? [] : [{ role: 'system', content: system }]
  }

  /** Stops the answer being written; false where there is none. */
  abort(): boolean {
    this.#answering?.abort()
    return this.#answering !== null
  }

  /** A request that the engine refuses (a full context, say) leaves the conversation as it was. */
  async say(content: string): Promise<void> {
    const messages: ChatMessage[] = [...this.#messages, { role: 'user', content }]
    const request = {
      requestId: `chat-${this.#numRequests++}`,
      prompt: { type: 'chat', messages, parseOutput: true },
      params: samplingParamsOf(this.#flags),
      outputKind: 'delta',
    } as const
    this.#answering = new AbortController()
    const { signal } = this.#answering
    const answer = new AnswerWriter(process.stdout)
    try {
      for await (const { outputs } of this.#engine.generate(request, signal)) {
        const message = outputs[0]?.message
        if (message != null) answer.add(message)
      }
    } catch (error) {
      if (!signal.aborted) {
        if (!OctavoError.isInstance(error) || error.code === 'engine_dead') throw error
        consoleLogger.error(error.message)
        return
      }
    } finally {
      this.#answering = null
    }
    process.stdout.write('\n')
    this.#messages = [...messages, { role: 'assistant', ...answer.message }]
  }
}
