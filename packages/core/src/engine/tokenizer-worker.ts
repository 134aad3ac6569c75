/** Entry point of the tokenizer's own thread: a second tokenizer of the same model, for long texts. */
import { workerData } from 'node:worker_threads'
import { openCheckpoint } from '../loading/checkpoint.ts'
import { createTokenizer } from '../tokenizer/hf-tokenizer.ts'
import { serveJobs } from './serve-jobs.ts'
import type { TokenizerThreadData, ToTokenizer } from './tokenizer-messages.ts'

const { modelPath } = workerData as TokenizerThreadData
const tokenizer = createTokenizer((await openCheckpoint(modelPath)).readTokenizer())

serveJobs(
  ({ text, addSpecialTokens }: ToTokenizer) => Int32Array.from(tokenizer.encode(text, { addSpecialTokens })),
  (ids) => [ids.buffer],
)
