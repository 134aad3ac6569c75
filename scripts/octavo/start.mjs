// `npm start`: build, serve the embedded model, ask it something, and keep serving.
import path from 'node:path'
import { install } from './install.mjs'
import { buildNative } from './native.mjs'
import { exitCodeOf, Failure, interruptedBy, root, start as startProcess } from './processes.mjs'
import { stage } from './stage.mjs'
import { runTasks, showLog } from './turbo.mjs'

const model = 'octavo-tiny'
const question = 'Translate to Chinese: The old teacher is reading a new book in the library.'

export async function start(args) {
  const { port, rest } = takePort(args)
  await install()
  await stage('C++ kernels', buildNative)
  await stage('build', async () => {
    const { code, results } = await runTasks(['build'], { filter: 'octavo...' })
    results.filter(({ hasPassed }) => !hasPassed).forEach(showLog)
    if (code !== 0) throw new Failure(`The build failed (exit code ${code}); the message is above.`)
  })

  console.log('▸ serve')
  const bin = path.join(root, 'packages', 'cli', 'bin', 'octavo.js')
  const server = startProcess(
    'node',
    [bin, 'serve', model, '--host', '127.0.0.1', '--port', port, '--no-request-log', ...rest],
    {
      ipc: true,
      mayDrain: true,
    },
  )
  const url = await Promise.race([listening(server.child), server.done.then(() => null)])
  if (url !== null && interruptedBy() === null) {
    try {
      await greet(url)
    } catch (error) {
      if (interruptedBy() === null) {
        server.child.kill('SIGTERM')
        await server.done
        throw new Failure(`The server is up, but the first request failed: ${error.message}`)
      }
    }
  }
  const { code } = await server.done
  return interruptedBy() !== null && code !== 0 ? exitCodeOf(interruptedBy()) : code
}

/** `--port` before PORT before 8000; everything else goes to `octavo serve`. */
function takePort(args) {
  const rest = []
  let port = process.env.PORT || '8000'
  for (let i = 0; i < args.length; i++) {
    if (args[i] === '--port' || args[i] === '-p') port = args[++i] ?? ''
    else if (args[i].startsWith('--port=')) port = args[i].slice('--port='.length)
    else rest.push(args[i])
  }
  if (!/^\d+$/.test(port) || Number(port) > 65_535)
    throw new Failure(`The port must be a number from 0 to 65535, got "${port}".`)
  return { port, rest }
}

/** The URL that `octavo serve` reports once it takes requests. */
function listening(child) {
  return new Promise((resolve) => {
    child.on('message', (message) => {
      if (message?.type === 'listening') resolve(message.url)
    })
  })
}

async function greet(url) {
  const body = { model, messages: [{ role: 'user', content: question }], temperature: 0, max_tokens: 128, stream: true }
  console.log(`\n  you:    ${question}`)
  process.stdout.write(`  ${model.slice(0, 6)}: `)
  const response = await fetch(`${url}/v1/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
  })
  if (!response.ok) throw new Error(`HTTP ${response.status} ${await response.text()}`)
  let numCharacters = 0
  for await (const chunk of events(response.body)) {
    const text = chunk.choices?.[0]?.delta?.content ?? ''
    numCharacters += text.length
    process.stdout.write(text)
  }
  process.stdout.write('\n')
  if (numCharacters === 0) throw new Error('the answer was empty')
  console.log(`
  Serving ${model} at ${url} (OpenAI API: ${url}/v1). Try:

    curl -N ${url}/v1/chat/completions -H 'content-type: application/json' \\
      -d '{"model":"${model}","stream":true,"messages":[{"role":"user","content":"What is 47 + 35?"}]}'

  Ctrl-C stops it.
`)
}

/** Server-sent events with one JSON value each, up to [DONE]. */
async function* events(stream) {
  const decoder = new TextDecoder()
  let rest = ''
  for await (const bytes of stream) {
    const lines = (rest + decoder.decode(bytes, { stream: true })).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (!line.startsWith('data: ')) continue
      const data = line.slice('data: '.length).trim()
      if (data === '[DONE]') return
      const value = JSON.parse(data)
      if (value.error !== undefined) throw new Error(value.error.message)
      yield value
    }
  }
}
