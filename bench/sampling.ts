/**
 * Microseconds per row to draw a token from a vocabulary of 151,936: `npm run bench -- sampling`. The host's sampler against the
 * native `sample` kernel, on the same logits in the same run; both draw the same tokens, which is checked.
 */
import { createNativePack } from '@octavo/backend-native'
import { resolveSamplingParams, type SamplingParamsInput } from '@octavo/core'
import { createSamplingState, describeDraw, drawToken, sample } from '@octavo/core/backend'
import { setBackend, tensor2d } from '@tensorflow/tfjs-core'

const vocabSize = 151_936
const numRounds = 15
const eosTokenIds = [vocabSize - 1]

/** Park and Miller's generator: the same logits at each run. */
let state = 20_261_122
const uniform = (): number => (state = (state * 48_271) % 2_147_483_647) / 2_147_483_647
const normal = (): number => Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform())
const tokenIds = Array.from({ length: 1000 }, () => Math.floor(uniform() * vocabSize))
const numPromptTokens = 900

const shapes: Readonly<Record<string, () => Float32Array>> = {
  'a model that is sure: 20 tokens above noise': () => {
    const logits = Float32Array.from({ length: vocabSize }, () => 3 * normal())
    for (let i = 0; i < 20; i++) logits[Math.floor(uniform() * vocabSize)] = 18 + 4 * uniform()
    return logits
  },
  'noise of deviation 3': () => Float32Array.from({ length: vocabSize }, () => 3 * normal()),
}

const params: Readonly<Record<string, SamplingParamsInput>> = {
  'temperature 0.8, top_p 0.95, repetition_penalty 1.1': { temperature: 0.8, topP: 0.95, repetitionPenalty: 1.1 },
  'temperature 0.7, top_p 0.8, top_k 20': { temperature: 0.7, topP: 0.8, topK: 20 },
  'temperature 1': { temperature: 1 },
  greedy: { temperature: 0 },
}

function median(times: number[]): number {
  return times.sort((a, b) => a - b)[times.length >> 1]!
}

function time(run: () => void): number {
  run()
  return median(
    Array.from({ length: numRounds }, () => {
      const start = performance.now()
      run()
      return performance.now() - start
    }),
  )
}

function measure(makeRow: () => Float32Array, input: SamplingParamsInput, numRows: number): string {
  const rows = Array.from({ length: numRows }, makeRow)
  const values = new Float32Array(numRows * vocabSize)
  rows.forEach((row, i) => values.set(row, i * vocabSize))
  const logits = tensor2d(values, [numRows, vocabSize])
  const states = rows.map((_, seed) => {
    const params = resolveSamplingParams({ ...input, seed }, { vocabSize, maxLogprobs: 20 })
    return createSamplingState({ params, tokenIds, numPromptTokens, eosTokenIds, vocabSize })
  })
  let drawn: unknown[] = []
  const hostMs = time(() => {
    drawn = rows.map((values, row) => drawToken(values.slice(), describeDraw(states[row]!)))
  })
  let native: unknown[] = []
  const nativeMs = time(() => {
    native = sample(
      logits,
      states.map((state, row) => ({ row, draw: describeDraw(state) })),
    )
  })
  logits.dispose()
  if (drawn.some((id, i) => id !== native[i])) throw new Error('the kernel draws other tokens than the host')
  const us = (ms: number): string => ((1000 * ms) / numRows).toFixed(0).padStart(6)
  return `${us(hostMs)} ${us(nativeMs)}  x${(hostMs / nativeMs).toFixed(1)}`
}

for (const threads of [1, 2]) {
  const pack = await createNativePack({ threads })
  await setBackend(pack.name)
  for (const [shape, makeRow] of Object.entries(shapes)) {
    for (const [name, input] of Object.entries(params)) {
      for (const numRows of [1, 16]) {
        const figures = measure(makeRow, input, numRows)
        console.log(`${figures}  ${threads} threads, ${numRows} rows, ${name}; ${shape}`)
      }
    }
  }
}
console.log('microseconds per row: host, native, ratio')
