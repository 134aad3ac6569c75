import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { octavo, octavoBin, Program, serveTiny } from './program.ts'

const question = { role: 'user', content: 'What is 47 + 35?' }

function chat(url: string, body: Record<string, unknown>, headers: Record<string, string> = {}): Promise<Response> {
  return fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'octavo-tiny', messages: [question], temperature: 0, ...body }),
  })
}

/** Whether something listens at the URL's port. */
function isOpen(url: string): Promise<boolean> {
  const socket = connect(Number(new URL(url).port), '127.0.0.1')
  return new Promise((resolve) => {
    socket.once('connect', () => resolve(true)).once('error', () => resolve(false))
  }).then((open) => {
    socket.destroy()
    return open === true
  })
}

/** A hub that takes every question and answers none. */
class SilentHub implements AsyncDisposable {
  readonly #server = createServer((socket) => this.#sockets.add(socket))
  readonly #sockets = new Set<Socket>()
  readonly asked = once(this.#server, 'connection')

  async listen(): Promise<string> {
    await once(this.#server.listen(0, '127.0.0.1'), 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    await new Promise((resolve) => this.#server.close(resolve))
  }
}

describe('octavo serve', () => {
  it('answers, and SIGINT ends it with 0 and frees the port', async () => {
    const { program, url } = await serveTiny()
    await using server = program
    const response = await chat(url, {})
    expect(await response.json()).toMatchObject({
      choices: [{ message: { content: '47 + 35 = 82.' }, finish_reason: 'stop' }],
    })
    expect(await isOpen(url)).toBe(true)
    server.kill('SIGINT')
    expect(await server.exitCode, server.stderr).toBe(0)
    expect(await isOpen(url)).toBe(false)
  })

  it.each(['SIGINT', 'SIGTERM'] as const)('%s lets a running stream finish', async (signal) => {
    const { program, url } = await serveTiny()
    await using server = program
    const response = await chat(url, { stream: true, ignore_eos: true, max_tokens: 400 })
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader()
    let { value: received = '' } = await reader.read()
    server.kill(signal)
    await server.waitFor(/waiting for 1 running sequence,/)
    for (;;) {
      const { done, value } = await reader.read()
      if (done) break
      received += value
    }
    expect(received).toContain('"finish_reason":"length"')
    expect(received.trim().endsWith('data: [DONE]')).toBe(true)
    expect(await server.exitCode, server.stderr).toBe(0)
  })

  it.each([
    ['--host', '192.0.2.1', '--host: 192.0.2.1 is not an address of this machine', 1],
    ['--max-model-len', '100k', "--max-model-len: is 100000, but the model's position range ends at 1024", 2],
    ['--api-key', 'schlüssel', '--api-key: key 1 has a character beyond printable ASCII', 2],
    ['--max-num-seqs', '600', '--max-num-batched-tokens: is 512, less than --max-num-seqs (600)', 2],
  ])('refuses %s %s before it loads anything', async (flag, value, said, exitCode) => {
    await using server = octavo(['serve', 'octavo-tiny', flag, value])
    expect(await server.exitCode).toBe(exitCode)
    expect(server.stderr.startsWith(`error: ${said}`), server.stderr).toBe(true)
  })

  it('aborts what still runs after --shutdown-timeout', async () => {
    const { program, url } = await serveTiny(['--shutdown-timeout', '0'])
    await using server = program
    const response = await chat(url, { stream: true, ignore_eos: true, max_tokens: 900 })
    const received = response.text().catch(() => '')
    server.kill('SIGINT')
    expect(await server.exitCode, server.stderr).toBe(0)
    expect(await received).not.toContain('"finish_reason":"length"')
    for (const said of ['serving octavo-tiny at ', 'stopping'])
      expect(server.stderr).toMatch(new RegExp(`^\\d{4}-\\d\\d-\\d\\dT[\\d:.]+Z ${said}`, 'm'))
  })

  it('ends at once at a second SIGINT', async () => {
    const { program, url } = await serveTiny()
    await using server = program
    const response = await chat(url, { stream: true, ignore_eos: true, max_tokens: 900 })
    const received = response.text().catch(() => '')
    server.kill('SIGINT')
    await server.waitFor(/waiting for 1 running sequence,/)
    await sleep(600) // sooner counts as the same Ctrl-C
    server.kill('SIGINT')
    expect(await server.exitCode).toBe(130)
    expect(await received).not.toContain('"finish_reason":"length"')
  })

  it('asks for the key that it was given, by flag or by environment', async () => {
    const { program, url } = await serveTiny(['--api-key', 'one', '--api-key', 'two'], {
      env: { OCTAVO_API_KEY: 'three' },
    })
    await using server = program
    const statuses = async (...keys: string[]): Promise<number[]> => {
      const responses = keys.map((key) =>
        chat(url, { max_tokens: 1 }, key === '' ? {} : { authorization: `Bearer ${key}` }),
      )
      return (await Promise.all(responses)).map(({ status }) => status)
    }
    expect(await statuses('', 'four', 'three', 'one', 'two'), server.stderr).toEqual([401, 401, 401, 200, 200])
  })

  it('serves under other names and with a smaller context', async () => {
    const flags = [
      '--served-model-name',
      'a',
      '--served-model-name',
      'b',
      '--max-model-len',
      '0.5K',
      '--kv-cache-memory',
      '8MiB',
      '--backend',
      'cpu',
      '--no-enable-chunked-prefill',
      '--long-prefill-token-threshold',
      '64',
      '--trust-request-chat-template',
    ]
    const { program, url } = await serveTiny(flags)
    await using server = program
    const templated = await chat(url, { model: 'a', max_tokens: 1, chat_template: '{{ messages[0].content }}' })
    expect(templated.status, server.stderr).toBe(200)
    const response = await fetch(`${url}/v1/models`)
    expect(await response.json(), server.stderr).toMatchObject({
      data: [
        { id: 'a', max_model_len: 512 },
        { id: 'b', max_model_len: 512 },
      ],
    })
  })

  it('says that the port is taken', async () => {
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as AddressInfo
    await using program = octavo(['serve', 'octavo-tiny', '--port', String(port)])
    expect(await program.exitCode).toBe(1)
    expect(program.stderr).toMatch(new RegExp(`error: .*${port}.*(in use|taken)`))
    expect(program.stderr).not.toContain('    at ')
    other.close()
  })

  it('ends with the process that started it over a message channel', async () => {
    const script = `
      import { fork } from 'node:child_process'
      const [, bin] = process.argv
      const child = fork(bin, ['serve', 'octavo-tiny', '--port', '0'], { execArgv: [] })
      child.on('message', ({ url }) => { console.log('ready ' + url + ' ' + child.pid); process.exit(0) })
    `
    await using parent = new Program(['--input-type=module', '-e', script, '--', octavoBin])
    const [, url = ''] = await parent.waitFor(/ready (http\S+)/)
    await parent.exitCode
    await expect.poll(() => isOpen(url), { timeout: 20_000 }).toBe(false)
  })
})

describe('octavo run, chat and env', () => {
  it('answers a prompt on stdout, nothing else', async () => {
    await using program = octavo(['run', 'octavo-tiny', 'What is 47 + 35?', '--temperature', '0'])
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toBe('47 + 35 = 82.\n')
  })

  it('ends at the first signal while it waits for a download', async () => {
    await using hub = new SilentHub()
    const env = {
      HF_HUB_OFFLINE: '0',
      HF_ENDPOINT: await hub.listen(),
      HF_HOME: join(tmpdir(), 'octavo-no-such-cache'),
    }
    await using program = octavo(['run', 'owner/name', 'Hi'], { env })
    await hub.asked
    program.kill('SIGTERM')
    expect(await program.exitCode).toBe(null)
  })

  it('ends without a word when its reader leaves', async () => {
    await using program = octavo(['run', 'octavo-tiny', 'What is 47 + 35?', '--temperature', '0'])
    program.closeStdout()
    expect(await program.exitCode).toBe(141)
    expect(program.stderr).toBe('')
  })

  it('reads the prompt from stdin and heeds the sampling flags', async () => {
    await using program = octavo(['run', 'octavo-tiny', '-', '--temperature', '0', '--stop', ' = '], {
      input: 'What is 47 + 35?\n',
    })
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toBe('47 + 35\n')
  })

  it('reads a pipe where no prompt is given', async () => {
    await using program = octavo(['run', 'octavo-tiny', '--temperature', '0'], { input: 'What is 47 + 35?\n' })
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stdout).toBe('47 + 35 = 82.\n')
  })

  it('answers commands that it does not know, and takes messages of several lines', async () => {
    const input = '/quit\n/think about it\nWhat is\\\n47 + 35?\n'
    await using program = octavo(['chat', 'octavo-tiny', '--temperature', '0'], { input })
    expect(await program.exitCode, program.stderr).toBe(0)
    expect(program.stderr).toContain('there is no command /quit; a space in front')
    expect(program.stderr).toContain('there is no command /think; a space in front')
    expect(program.stdout).toBe('47 + 35 = 82.\n')
  })

  it('remembers a conversation until /clear', async () => {
    const input = 'My name is Clara.\nWhat is my name?\n/clear\nWhat is my name?\n/exit\n'
    await using program = octavo(['chat', 'octavo-tiny', '--temperature', '0'], { input })
    expect(await program.exitCode, program.stderr).toBe(0)
    const [, second = '', third = ''] = program.stdout.trim().split('\n')
    expect(second).toContain('Clara')
    expect(third).not.toContain('Clara')
  })

  it('describes the machine and the backends', async () => {
    await using program = octavo(['env', '--json', '--backend', 'cpu'])
    expect(await program.exitCode, program.stderr).toBe(0)
    const environment = JSON.parse(program.stdout)
    expect(environment).toMatchObject({ node: process.versions.node, backendError: null })
    expect(environment.backends).toContainEqual(expect.objectContaining({ name: 'cpu', chosen: true }))
    expect(environment.backends).toContainEqual(expect.objectContaining({ name: 'wasm', chosen: false }))
  })
})

describe('octavo convert', () => {
  it('writes a GGUF file that answers', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'octavo-convert-'))
    try {
      const file = join(folder, 'tiny.gguf')
      await using conversion = octavo(['convert', 'octavo-tiny', file, '--type', 'q8_0'])
      expect(await conversion.exitCode, conversion.stderr).toBe(0)
      expect(conversion.stdout).toContain('36 q8_0')
      await using program = octavo(['run', file, 'What is 47 + 35?', '--temperature', '0'])
      expect(await program.exitCode, program.stderr).toBe(0)
      expect(program.stdout).toBe('47 + 35 = 82.\n')
    } finally {
      rmSync(folder, { recursive: true, force: true })
    }
  })
})

describe('mistakes', () => {
  it.each([
    [['serve', 'octavo-tiny', '--port', '80000'], '--port'],
    [['serve', 'octavo-tiny', '--max-model-len', '4q'], '--max-model-len'],
    [['serve', 'octavo-tiny', '--dtype', 'int3'], '--dtype'],
    [['run', 'octavo-tiny', 'Hi', '--dtype', 'half'], 'auto, float32, float16, bfloat16'],
    [['chat', 'octavo-tiny', '--dtype', ''], '--dtype'],
    [['serve', 'octavo-tiny', '--kv-cache-memory', 'much'], '--kv-cache-memory'],
    [['serve', 'octavo-tiny', '--max-num-seqs', '0'], '--max-num-seqs'],
    [['serve', 'octavo-tiny', '--scheduling-policy', 'lifo'], '--scheduling-policy'],
    [['serve', 'octavo-tiny', '--max-num-batched-tokens', '8'], '--max-num-batched-tokens'],
    [['serve', 'octavo-tiny', '--chat-template', 'no/such/file'], '--chat-template'],
    [['serve', 'octavo-tiny', '--prot', '80'], 'Did you mean --port'],
    [['serve'], 'model'],
    [['run', 'octavo-tiny', 'Hi', '--temperature', 'hot'], '--temperature'],
    [['run', 'octavo-tiny', ''], 'empty'],
    [['convert', 'octavo-tiny', 'somewhere'], '--to gguf'],
    [['convert', 'octavo-tiny', 'x.gguf', '--type', 'Q4_K_X'], 'did you mean "Q4_K_S"'],
    [['sevre'], 'Did you mean serve'],
  ])('%j exits with 2 and one clear message', async (args, mention) => {
    await using program = octavo(args)
    expect(await program.exitCode, program.stderr).toBe(2)
    expect(program.stderr).toContain(mention)
    expect(program.stderr).toMatch(/^error: /)
    expect(program.stderr).not.toContain('    at ')
  })

  it.each([
    [['serve', 'no-such/model'], 'no-such/model'],
    [['run', './no/such/folder', 'Hi'], './no/such/folder'],
    [['serve', 'octavo-tiny', '--backend', 'abacus'], 'abacus'],
    [['serve', 'octavo-tiny', '--kv-cache-memory', '1KiB'], 'KiB'],
  ])('%j exits with 1 and says why', async (args, mention) => {
    await using program = octavo(args)
    expect(await program.exitCode, program.stderr).toBe(1)
    expect(program.stderr).toContain(mention)
    expect(program.stderr).toMatch(/error: /)
    expect(program.stderr).not.toContain('    at ')
  })

  it('shows a stack with --debug', async () => {
    await using program = octavo(['--debug', 'serve', './no/such/folder'])
    expect(await program.exitCode).toBe(1)
    expect(program.stderr).toContain('    at ')
  })
})

it.each([['--version'], ['--help'], ['serve', '--help']])('octavo %s exits with 0', async (...args) => {
  await using program = octavo(args)
  expect(await program.exitCode, program.stderr).toBe(0)
  expect(program.stdout).toMatch(args[0] === '--version' ? /^\d+\.\d+\.\d+/ : /Usage: octavo/)
})
