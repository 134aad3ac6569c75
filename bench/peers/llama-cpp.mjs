// One measurement of node-llama-cpp, in a process of its own: MODEL_PATH THREADS → one line of JSON.
import { readFileSync } from 'node:fs'
import { getLlama, LlamaLogLevel } from 'node-llama-cpp'

const [modelPath, threads] = process.argv.slice(2)
const startedAt = performance.now()
const llama = await getLlama({ gpu: false, build: 'never', logLevel: LlamaLogLevel.error, maxThreads: Number(threads) })
const model = await llama.loadModel({ modelPath })
const loadMs = performance.now() - startedAt

const prompt = (length, seed) => Array.from({ length }, (_, i) => 100 + ((seed * 31 + i * 7) % 2000))
const plan = JSON.parse(process.env.BENCH_PLAN)

async function withContext(options, work) {
  const context = await model.createContext({ threads: Number(threads), batchSize: 512, ...options })
  const result = await work(context)
  await context.dispose()
  return result
}

async function prefill(length) {
  return withContext({ contextSize: length + 64, sequences: 1 }, async (context) => {
    const sequence = context.getSequence()
    const start = performance.now()
    await sequence.evaluateWithoutGeneratingNewTokens(prompt(length, length))
    return (1000 * length) / (performance.now() - start)
  })
}

async function decode(numSequences) {
  const { promptLength, numTokens } = plan
  return withContext({ contextSize: promptLength + numTokens + 64, sequences: numSequences }, async (context) => {
    const sequences = Array.from({ length: numSequences }, () => context.getSequence())
    await Promise.all(
      sequences.map((sequence, i) => sequence.evaluateWithoutGeneratingNewTokens(prompt(promptLength, i))),
    )
    const start = performance.now()
    await Promise.all(
      sequences.map(async (sequence) => {
        let count = 0
        for await (const _ of sequence.evaluate([100], { temperature: 0, yieldEogToken: true }))
          if (++count === numTokens) break
      }),
    )
    return (1000 * numSequences * numTokens) / (performance.now() - start)
  })
}

const result = { loadMs, prefill: {}, decode: {}, peakRssMb: 0 }
for (const length of plan.prefill) result.prefill[length] = await prefill(length)
for (const count of plan.decode) result.decode[count] = await decode(count)
result.peakRssMb = Number(/VmHWM:\s+(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))[1]) / 1024
console.log(JSON.stringify(result))
process.exit(0)
