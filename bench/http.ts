/**
 * What HTTP adds to a step: `npm run bench -- http [shape|octavo-tiny] [rounds]`. An engine and its server in a process of their own
 * answer 64 requests at once, read by that process itself, and then streamed over HTTP to this one.
 */
import { fork } from 'node:child_process'
import { once } from 'node:events'
import { availableParallelism, cpus } from 'node:os'
import { fileURLToPath } from 'node:url'
import { nativeBackend } from '@octavo/backend-native'
import { AsyncEngine } from '@octavo/core'
import { createApp, listen } from '@octavo/server'
import { shapes } from './src/bench-shape.ts'
import { countStreamed } from './src/http-stream.ts'
import { ModelFiles } from './src/model-files.ts'
import { median } from './src/percentile.ts'

const numStreams = 64

interface Started {
  readonly port: number
}

/** Of everything between two questions. */
interface Steps {
  readonly numSteps: number
  readonly numTokens: number
}

type Question = { readonly type: 'direct'; readonly maxTokens: number } | { readonly type: 'steps' }

const promptOf = (i: number): number[] => Array.from({ length: 16 }, (_, k) => 300 + ((k * 7 + i * 13) % 200))

async function main(name: string, rounds: number): Promise<void> {
  const shape = shapes[name]
  using files = shape === undefined ? null : new ModelFiles({ shape, format: 'q8_0' })
  const maxTokens = shape === undefined ? 400 : 40
  const child = fork(fileURLToPath(import.meta.url), ['serve', files?.pathOf('gguf') ?? name])
  const [{ port }] = (await once(child, 'message')) as [Started]
  const ask = async (question: Question): Promise<Steps> => {
    child.send(question)
    return ((await once(child, 'message')) as [Steps])[0]
  }
  const msPerStep = async (run: () => Promise<unknown>): Promise<number> => {
    await ask({ type: 'steps' })
    const startedAt = performance.now()
    await run()
    const ms = performance.now() - startedAt
    return ms / (await ask({ type: 'steps' })).numSteps
  }
  const direct = (): Promise<unknown> => ask({ type: 'direct', maxTokens })
  const overHttp = async (): Promise<void> => {
    const counts = Array.from({ length: numStreams }, (_, i) =>
      countStreamed(
        { port, path: '/v1/completions' },
        {
          prompt: promptOf(i),
          max_tokens: maxTokens,
          ignore_eos: true,
          temperature: 0,
          stream: true,
        },
      ),
    )
    for (const count of await Promise.all(counts))
      if (count !== maxTokens) throw new Error(`a stream had ${count} tokens, not ${maxTokens}`)
  }
  await direct()
  await overHttp()
  const times = { direct: [] as number[], overHttp: [] as number[] }
  for (let round = 0; round < rounds; round++) {
    times.direct.push(await msPerStep(direct))
    times.overHttp.push(await msPerStep(overHttp))
  }
  child.kill()
  const [inside, outside] = [median(times.direct), median(times.overHttp)]
  console.log(`${availableParallelism()} threads, ${cpus()[0]?.model ?? 'unknown CPU'}`)
  console.log(`| ms per step of ${numStreams} streams | read in the process | over HTTP | more |`)
  console.log('| --- | --- | --- | --- |')
  console.log(
    `| ${name} | ${inside.toFixed(2)} | ${outside.toFixed(2)} | ${(100 * (outside / inside - 1)).toFixed(1)} % |`,
  )
}

async function serve(model: string): Promise<void> {
  const engine = await AsyncEngine.create(
    { model, maxNumSeqs: numStreams, backend: 'native', kvCacheMemory: '1GiB' },
    { modules: [nativeBackend] },
  )
  const { port } = await listen(createApp({ engine }), { port: 0 })
  let before = engine.metrics()
  const steps = (): Steps => {
    const now = engine.metrics()
    const passed = {
      numSteps: now.numSteps - before.numSteps,
      numTokens: now.generationTokens - before.generationTokens,
    }
    before = now
    return passed
  }
  const generate = async (i: number, maxTokens: number): Promise<void> => {
    const request = {
      requestId: `direct-${i}-${performance.now()}`,
      prompt: { type: 'tokens', tokenIds: promptOf(i) },
      params: { maxTokens, ignoreEos: true, temperature: 0 },
      outputKind: 'delta',
    } as const
    for await (const _ of engine.generate(request));
  }
  process.on('message', async (question: Question) => {
    if (question.type === 'direct')
      await Promise.all(Array.from({ length: numStreams }, (_, i) => generate(i, question.maxTokens)))
    process.send?.(question.type === 'steps' ? steps() : { numSteps: 0, numTokens: 0 })
  })
  process.send?.({ port } satisfies Started)
}

const [first = 'tinyllama-1.1b', second = '5'] = process.argv.slice(2)
if (first === 'serve') await serve(second)
else await main(first, Number(second))
