/** Entry point of the tokenizer's own thread: a second tokenizer of the same model, for long texts. */
import { workerData } from 'node:worker_threads'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { serveJobs } from './serve-jobs.ts'
import type { TokenizerThreadData, ToTokenizer } from './tokenizer-messages.ts'

const { modelPath } = workerData as TokenizerThreadData
const tokenizer = createTokenizer((await openCheckpoint(modelPath)).readTokenizer())

function encode({ text, pair, addSpecialTokens }: ToTokenizer): Int32Array<ArrayBuffer> {
  if (pair === null) return Int32Array.from(tokenizer.encode(text, { addSpecialTokens }))
  const { ids, typeIds } = tokenizer.encodePair(text, pair, { addSpecialTokens })
  return Int32Array.from([...ids, ...typeIds])
}

serveJobs(encode, (ids) => [ids.buffer])
