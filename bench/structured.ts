/**
 * What grammars cost: `npm run bench -- structured [masks|hostile]`.
 *
 * `masks`: milliseconds per step of 16 sequences, held to a grammar and not, in turn, on octavo-tiny and on TinyLlama's shape.
 * `hostile`: milliseconds between the tokens of 32 plain streams, quiet, and beside 8 clients who send grammars that cannot be
 * compiled, take too long or end the thread that compiles them.
 */
import { availableParallelism, cpus } from 'node:os'
import { nativeBackend } from '@octavo/backend-native'
import { AsyncEngine, type GenerateRequest, type SamplingParamsInput, type StructuredOutput } from '@octavo/core'
import { shapes } from './src/bench-shape.ts'
import { ModelFiles } from './src/model-files.ts'
import { median, percentile } from './src/percentile.ts'

const numSequences = 16
const numStreams = 32
const numHostile = 8

/** An array of records, which never ends where a model does not end it. */
const records: StructuredOutput = {
  type: 'json',
  schema: {
    type: 'array',
    minItems: 1000,
    items: {
      type: 'object',
      properties: {
        name: { type: 'string' },
        age: { type: 'integer' },
        tags: { type: 'array', items: { type: 'string' } },
      },
      required: ['name', 'age', 'tags'],
      additionalProperties: false,
    },
  },
}

let numRequests = 0

async function createEngine(model: string): Promise<AsyncEngine> {
  return AsyncEngine.create(
    { model, backend: 'native', maxNumSeqs: 64, kvCacheMemory: '512MiB' },
    { modules: [nativeBackend] },
  )
}

function requestOf(params: SamplingParamsInput): GenerateRequest {
  const id = numRequests++
  return {
    requestId: `bench-${id}`,
    prompt: { type: 'tokens', tokenIds: Array.from({ length: 32 }, (_, i) => 300 + ((i * 7 + id) % 200)) },
    params: { temperature: 1, seed: id, ignoreEos: true, ...params },
    outputKind: 'delta',
  }
}

/** Milliseconds between the tokens of one stream, from the second on. */
async function gapsOf(engine: AsyncEngine, params: SamplingParamsInput): Promise<number[]> {
  const gaps: number[] = []
  let last: number | null = null
  for await (const { outputs } of engine.generate(requestOf(params))) {
    const now = performance.now()
    const numTokens = outputs[0]?.tokenIds.length ?? 0
    if (last !== null && numTokens > 0)
      gaps.push(...Array.from({ length: numTokens }, () => (now - (last ?? 0)) / numTokens))
    last = now
  }
  return gaps
}

async function stepMs(engine: AsyncEngine, params: SamplingParamsInput, numTokens: number): Promise<number> {
  const streams = Array.from({ length: numSequences }, () => gapsOf(engine, { ...params, maxTokens: numTokens }))
  return median((await Promise.all(streams)).flat())
}

async function measureMasks(
  name: string,
  model: string,
  { rounds, numTokens }: { rounds: number; numTokens: number },
): Promise<void> {
  const engine = await createEngine(model)
  const plain: number[] = []
  const held: number[] = []
  await stepMs(engine, { structuredOutput: records }, 16)
  for (let round = 0; round < rounds; round++) {
    plain.push(await stepMs(engine, {}, numTokens))
    held.push(await stepMs(engine, { structuredOutput: records }, numTokens))
  }
  await engine.shutdown()
  const [without, with_] = [median(plain), median(held)]
  console.log(
    `| ${name} | ${without.toFixed(2)} | ${with_.toFixed(2)} | ${(100 * (with_ / without - 1)).toFixed(1)} % |`,
  )
}

function hostileGrammar(i: number): StructuredOutput {
  const grammars = [
    `root ::= ${'('.repeat(20_000 + i)}"a"${')'.repeat(20_000 + i)}`,
    `root ::= "a" missing${i}`,
    `root ::= ("a"{1,1000} | "b${i}"{1,1000}){1,1000} ("c"{1,1000}){1,900}`,
    `root ::= root "x${i}"`,
  ]
  const regexes = [`(a${i}`, `((a{1,900}){1,900}){1,${900 + (i % 90)}}`, `a${i}(b+)+(?=c)d`]
  return i % 2 === 0
    ? { type: 'grammar', grammar: grammars[(i >> 1) % grammars.length] ?? '' }
    : { type: 'regex', pattern: regexes[(i >> 1) % regexes.length] ?? '' }
}

async function measureHostile(): Promise<void> {
  const engine = await createEngine('octavo-tiny')
  const streams = async (): Promise<number[]> =>
    (await Promise.all(Array.from({ length: numStreams }, () => gapsOf(engine, { maxTokens: 800 })))).flat()
  await streams()
  const quiet = await streams()
  const outcomes = new Map<string, number>()
  const state = { isOver: false }
  let numSent = 0
  const attack = async (): Promise<void> => {
    while (!state.isOver) {
      const outcome = await gapsOf(engine, { structuredOutput: hostileGrammar(numSent++), maxTokens: 50 }).then(
        () => 'answered',
        (error: Error) => error.name,
      )
      outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1)
    }
  }
  const attacks = Array.from({ length: numHostile }, attack)
  const beside = await streams()
  state.isOver = true
  await Promise.all(attacks)
  await engine.shutdown()
  console.log('| between tokens, ms | p50 | p99 | longest |')
  console.log('| --- | --- | --- | --- |')
  for (const [name, gaps] of [
    ['quiet', quiet],
    ['beside hostile grammars', beside],
  ] as const)
    console.log(`| ${name} | ${[50, 99, 100].map((p) => percentile(gaps, p).toFixed(2)).join(' | ')} |`)
  console.log(`${numSent} hostile requests: ${[...outcomes].map(([name, count]) => `${count} ${name}`).join(', ')}`)
}

const [part] = process.argv.slice(2)
console.log(`${availableParallelism()} threads, ${cpus()[0]?.model ?? 'unknown CPU'}`)
if (part !== 'hostile') {
  console.log(`| ms per step of ${numSequences} sequences | plain | held to a grammar | more |`)
  console.log('| --- | --- | --- | --- |')
  await measureMasks('octavo-tiny', 'octavo-tiny', { rounds: 5, numTokens: 400 })
  using files = new ModelFiles({ shape: shapes['tinyllama-1.1b']!, format: 'q8_0' })
  await measureMasks("TinyLlama's shape, Q8_0", files.pathOf('gguf'), { rounds: 3, numTokens: 40 })
}
if (part !== 'masks') await measureHostile()
