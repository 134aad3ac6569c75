/** Files and batches by OpenAI's client against `octavo serve`, which is killed in between, and `octavo run-batch`. */
import { createReadStream } from 'node:fs'
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import OpenAI, { toFile } from 'openai'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { octavo, serveTiny } from './program.ts'

type Batch = OpenAI.Batches.Batch

interface Result {
  readonly custom_id: string
  readonly response: { readonly status_code: number; readonly body: OpenAI.Chat.ChatCompletion } | null
  readonly error: { readonly code: string } | null
}

const sum = (i: number) => ({
  custom_id: `sum-${i}`,
  method: 'POST',
  url: '/v1/chat/completions',
  body: { model: 'octavo-tiny', messages: [{ role: 'user', content: `What is ${i % 50} + 35?` }], temperature: 0 },
})
const jsonl = (values: readonly unknown[]) => values.map((value) => `${JSON.stringify(value)}\n`).join('')
const answerOf = ({ response }: Result) => response?.body.choices[0]?.message.content
const parse = (text: string) => text.split('\n').flatMap((line) => (line === '' ? [] : [JSON.parse(line) as Result]))

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'octavo-batch-test-'))
})
afterAll(() => rm(folder, { recursive: true }))

const clientOf = (url: string, apiKey = 'none') => new OpenAI({ baseURL: `${url}/v1`, apiKey, maxRetries: 0 })

async function start(
  client: OpenAI,
  text: string,
  endpoint: OpenAI.BatchCreateParams['endpoint'] = '/v1/chat/completions',
): Promise<Batch> {
  const file = await client.files.create({ file: await toFile(Buffer.from(text), 'in.jsonl'), purpose: 'batch' })
  return client.batches.create({ input_file_id: file.id, endpoint, completion_window: '24h' })
}

async function until(client: OpenAI, { id }: Batch, isDone: (batch: Batch) => boolean): Promise<Batch> {
  for (;;) {
    const batch = await client.batches.retrieve(id)
    if (isDone(batch)) return batch
    await sleep(50)
  }
}
const hasEnded = ({ status }: Batch) => ['completed', 'failed', 'expired', 'cancelled'].includes(status)

async function contentOf(client: OpenAI, id: string | null | undefined): Promise<Result[]> {
  return id == null ? [] : parse(await (await client.files.content(id)).text())
}

describe('batches of OpenAI’s client', () => {
  it('are answered, from a file on disk, as the endpoint answers each line', async () => {
    const { program, url } = await serveTiny()
    await using _ = program
    const client = clientOf(url)
    const input = path.join(folder, 'some.jsonl')
    await writeFile(input, jsonl([sum(1), { ...sum(2), body: { ...sum(2).body, model: 'other' } }, sum(3)]))
    const file = await client.files.create({ file: createReadStream(input), purpose: 'batch' })
    expect(file).toMatchObject({ filename: 'some.jsonl', bytes: (await stat(input)).size, purpose: 'batch' })
    expect(await client.files.retrieve(file.id)).toEqual(file)
    const begun = await client.batches.create({
      input_file_id: file.id,
      endpoint: '/v1/chat/completions',
      completion_window: '24h',
      metadata: { name: 'sums' },
    })
    const batch = await until(client, begun, hasEnded)
    expect(batch).toMatchObject({
      status: 'completed',
      request_counts: { total: 3, completed: 2, failed: 1 },
      metadata: { name: 'sums' },
    })
    const output = await contentOf(client, batch.output_file_id)
    const direct = await Promise.all(
      [1, 3].map((i) => client.chat.completions.create(sum(i).body as OpenAI.ChatCompletionCreateParamsNonStreaming)),
    )
    expect(output.map(answerOf)).toEqual(direct.map(({ choices }) => choices[0]?.message.content))
    const [error] = await contentOf(client, batch.error_file_id)
    expect(error).toMatchObject({
      custom_id: 'sum-2',
      response: { status_code: 404, body: { error: { param: 'model' } } },
    })
    const listed: string[] = []
    for await (const one of client.batches.list({ limit: 1 })) listed.push(one.id)
    expect(listed).toEqual([batch.id])
    const files = new Set<string>()
    for await (const one of client.files.list({ limit: 1 })) files.add(one.id)
    expect(files).toEqual(new Set([file.id, batch.output_file_id, batch.error_file_id]))
    expect(await client.files.delete(file.id)).toMatchObject({ deleted: true })
    await expect(client.files.retrieve(file.id)).rejects.toThrow(OpenAI.NotFoundError)
    const wrong = await until(client, await start(client, `${JSON.stringify(sum(1))}\n{"custom_id": `), hasEnded)
    expect(wrong).toMatchObject({ status: 'failed', errors: { data: [{ line: 2, code: 'invalid_json_line' }] } })
    await expect(
      client.files.create({ file: await toFile(Buffer.from('x'), 'a'), purpose: 'assistants' }),
    ).rejects.toThrow(OpenAI.BadRequestError)
  })

  it('go on after the server was killed, and are cancelled', async () => {
    const flags = ['--batch-folder', path.join(folder, 'kept'), '--max-batch-requests', '4', '--no-request-log']
    const count = 2000
    let begun: Batch
    {
      const { program, url } = await serveTiny(flags)
      await using server = program
      const client = clientOf(url)
      begun = await start(client, jsonl(Array.from({ length: count }, (_, i) => sum(i))))
      await until(client, begun, ({ request_counts: counts }) => (counts?.completed ?? 0) >= 100)
      server.kill('SIGKILL')
      await server.exitCode
    }
    const { program, url } = await serveTiny([...flags.slice(0, 2), '--max-batch-requests', '64', '--no-request-log'])
    await using _ = program
    const client = clientOf(url)
    const resumed = await client.batches.retrieve(begun.id)
    expect(resumed.request_counts?.completed).toBeGreaterThanOrEqual(100)
    const other = await start(client, jsonl(Array.from({ length: count }, (_, i) => sum(i))))
    await until(client, other, ({ request_counts: counts }) => (counts?.completed ?? 0) >= 10)
    // Who waits for an answer has it meanwhile.
    const startedAt = performance.now()
    const { choices } = await client.chat.completions.create(
      sum(12).body as OpenAI.ChatCompletionCreateParamsNonStreaming,
    )
    expect(choices[0]?.message.content).toBe('12 + 35 = 47.')
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    expect(await client.batches.cancel(other.id)).toMatchObject({ status: 'cancelling' })
    const cancelled = await until(client, other, hasEnded)
    expect(cancelled.status).toBe('cancelled')
    const { completed = 0, failed = 0 } = cancelled.request_counts ?? {}
    expect(completed + failed).toBe(count)
    const batch = await until(client, begun, hasEnded)
    expect(batch).toMatchObject({ status: 'completed', request_counts: { total: count, completed: count, failed: 0 } })
    const output = await contentOf(client, batch.output_file_id)
    expect(output.map(({ custom_id }) => custom_id)).toEqual(Array.from({ length: count }, (_, i) => `sum-${i}`))
    expect(answerOf(output[12]!)).toBe('12 + 35 = 47.')
  })

  it('are each key’s own', async () => {
    const { program, url } = await serveTiny(['--api-key', 'one', '--api-key', 'two'])
    await using _ = program
    const [one, two] = [clientOf(url, 'one'), clientOf(url, 'two')]
    const batch = await until(one, await start(one, jsonl([sum(1)])), hasEnded)
    expect(batch.request_counts).toMatchObject({ completed: 1 })
    await expect(two.batches.retrieve(batch.id)).rejects.toThrow(OpenAI.NotFoundError)
    await expect(two.files.content(batch.output_file_id!)).rejects.toThrow(OpenAI.NotFoundError)
    expect((await two.files.list()).data).toEqual([])
  })
})

describe('octavo run-batch', () => {
  const ended = async (...args: string[]) => {
    const program = octavo(args)
    return { exitCode: await program.exitCode, stderr: program.stderr }
  }
  const run = (input: string, output: string) => ended('run-batch', '-i', input, '-o', output, '--model', 'octavo-tiny')

  it('answers the lines of a file in their order, wrong ones too', async () => {
    const [input, output] = ['lines.jsonl', 'answers.jsonl'].map((name) => path.join(folder, name)) as [string, string]
    const embeds = {
      custom_id: 'text',
      method: 'POST',
      url: '/v1/completions',
      body: { prompt: 'The capital of Norway is', max_tokens: 3, temperature: 0 },
    }
    await writeFile(
      input,
      `${jsonl([sum(12), embeds])}{"custom_id": \n${jsonl([{ ...sum(1), url: '/v1/models' }, sum(12), sum(7)])}`,
    )
    const { exitCode, stderr } = await run(input, output)
    expect([exitCode, stderr]).toEqual([0, expect.stringContaining('3 answered, 3 failed')])
    const results = parse(await readFile(output, 'utf8'))
    expect(results.map(({ custom_id, error }) => [custom_id, error?.code ?? null])).toEqual([
      ['sum-12', null],
      ['text', null],
      ['line-3', 'invalid_json_line'],
      ['sum-1', 'invalid_url'],
      ['sum-12', 'duplicate_custom_id'],
      ['sum-7', null],
    ])
    expect(answerOf(results[0]!)).toBe('12 + 35 = 47.')
  })

  it('goes on where it was stopped', async () => {
    const [input, output] = ['many.jsonl', 'many-answers.jsonl'].map((name) => path.join(folder, name)) as [
      string,
      string,
    ]
    await writeFile(input, jsonl(Array.from({ length: 500 }, (_, i) => sum(i))))
    const args = ['run-batch', '-i', input, '-o', output, '--model', 'octavo-tiny', '--max-requests', '4']
    {
      await using program = octavo(args)
      for (let lines = 0; lines < 50; await sleep(20))
        lines = await readFile(`${output}.part`, 'utf8').then(
          (text) => text.split('\n').length,
          () => 0,
        )
      program.kill('SIGKILL')
      await program.exitCode
    }
    const { exitCode, stderr } = await run(input, output)
    expect([exitCode, stderr]).toEqual([0, expect.stringMatching(/ answered, 0 failed, \d+ of an earlier run/)])
    const results = parse(await readFile(output, 'utf8'))
    expect(results.map(({ custom_id }) => custom_id)).toEqual(Array.from({ length: 500 }, (_, i) => `sum-${i}`))
    await writeFile(`${output}.part`, jsonl([{ id: 'a', custom_id: 'other', response: null, error: null }]))
    const refused = await run(input, output)
    expect([refused.exitCode, refused.stderr]).toEqual([2, expect.stringContaining('holds results of other requests')])
  })

  it('says what is missing', async () => {
    const output = path.join(folder, 'x.jsonl')
    expect((await run('https://host/in.jsonl', output)).stderr).toContain('--input-file must be a file of this machine')
    expect((await run(path.join(folder, 'nowhere'), output)).exitCode).toBe(1)
    expect((await ended('run-batch', '-i', 'a', '-o', 'b')).stderr).toContain('--model')
  })
})
