/** Entry point of a grammar's thread: the library behind a MessagePort. What it prints goes nowhere, for it prints schemas. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { toTransferredError } from '../error-transfer.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { assert } from '../util/assert.ts'
import { lowerPriority } from '../util/lower-priority.ts'
import { GrammarHost } from './grammar-host.ts'
import { type FromGrammarThread, type GrammarThreadData, jobWords, type ToGrammarThread } from './grammar-messages.ts'
import { loadXGrammar } from './load-xgrammar.ts'
import { refusalOf } from './refusal.ts'
import { type SharedVocabulary, shareVocabulary } from './shared-vocabulary.ts'

async function start(port: MessagePort, data: GrammarThreadData): Promise<void> {
  const post = (message: FromGrammarThread): void => port.postMessage(message)
  const vocabulary = await readVocabulary(data).catch((error: unknown) => toTransferredError(error))
  if (!('bytes' in vocabulary)) return post({ type: 'failed', error: vocabulary })
  lowerPriority(data.niceness)
  const jobs = new Int32Array(data.jobs)
  const printed: string[] = []
  const library = await loadXGrammar((line) => void printed.push(line), data.maxMemoryBytes)
  const host = new GrammarHost({
    library,
    vocabulary,
    vocabSize: data.vocabSize,
    onJob(grammar) {
      printed.length = 0
      Atomics.store(jobs, jobWords.grammar, grammar)
      Atomics.add(jobs, jobWords.count, 1)
    },
  })

  const handle = async (message: ToGrammarThread): Promise<void> => {
    switch (message.type) {
      case 'compile': {
        const { grammar, text, stopTokenIds } = message
        try {
          const hasOutput = await host.compile(grammar, { grammar: text, stopTokenIds })
          post({
            type: 'compiled',
            grammar,
            refusal: hasOutput ? null : { reason: 'no output of this model matches it', isSound: true },
          })
        } catch (error) {
          post({ type: 'compiled', grammar, refusal: refusalOf(error, printed) })
        }
        break
      }
      case 'open':
        await host.open(message.matcher, message.grammar)
        break
      case 'masks':
        for (const request of message.requests) await host.fillMasks(request)
        break
      case 'close':
        for (const matcher of message.matchers) host.close(matcher)
        break
      case 'forget':
        host.forget(message.grammar)
    }
    Atomics.store(jobs, jobWords.grammar, 0)
  }

  let turn = Promise.resolve()
  port.on('message', (message: ToGrammarThread) => {
    // What throws outside of a compilation ends the thread; whoever started it hears of that.
    turn = turn.then(() => handle(message))
  })
  post({ type: 'ready', vocabulary })
}

async function readVocabulary({ vocabulary, modelPath, vocabSize }: GrammarThreadData): Promise<SharedVocabulary> {
  if (vocabulary !== null) return vocabulary
  const checkpoint = await openCheckpoint(modelPath)
  return shareVocabulary(createTokenizer(checkpoint.readTokenizer()), vocabSize)
}

assert(parentPort !== null, 'grammar-worker must run as a worker')
await start(parentPort, workerData as GrammarThreadData)
