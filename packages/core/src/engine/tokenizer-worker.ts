/** Entry point of the tokenizer's own thread: a second tokenizer of the same model, for long texts. */
import { type MessagePort, parentPort, workerData } from 'node:worker_threads'
import { toTransferredError } from '../error-transfer.ts'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { assert } from '../util/assert.ts'
import type { FromTokenizer, TokenizerThreadData, ToTokenizer } from './tokenizer-messages.ts'

async function start(port: MessagePort, { modelPath }: TokenizerThreadData): Promise<void> {
  const post = (message: FromTokenizer): void => port.postMessage(message)
  const checkpoint = await openCheckpoint(modelPath)
  const tokenizer = createTokenizer(checkpoint.readTokenizer())
  port.on('message', ({ text, addSpecialTokens }: ToTokenizer) => {
    try {
      const ids = Int32Array.from(tokenizer.encode(text, { addSpecialTokens }))
      port.postMessage({ type: 'ids', ids } satisfies FromTokenizer, [ids.buffer])
    } catch (error) {
      post({ type: 'failed', error: toTransferredError(error) })
    }
  })
  post({ type: 'ready' })
}

assert(parentPort !== null, 'tokenizer-worker must run as a worker')
await start(parentPort, workerData as TokenizerThreadData)
