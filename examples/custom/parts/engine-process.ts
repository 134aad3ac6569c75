// An engine in a process of its own: requests come as messages, outputs and errors go back as messages.
import { AsyncEngine } from '@octavo/core'
import { toTransferredError } from '@octavo/core/engine'
import type { FromEngine, ToEngine } from './process-engine.ts'

const send = (message: FromEngine): void => void process.send?.(message)
const running = new Map<string, AbortController>()
const engine = await AsyncEngine.create({ model: process.argv[2]! })

async function generate({ request }: Extract<ToEngine, { type: 'generate' }>): Promise<void> {
  const { requestId } = request
  const controller = new AbortController()
  running.set(requestId, controller)
  try {
    for await (const output of engine.generate(request, controller.signal)) send({ type: 'output', output })
    send({ type: 'end', requestId, error: null, metrics: engine.metrics() })
  } catch (error) {
    send({ type: 'end', requestId, error: toTransferredError(error), metrics: engine.metrics() })
  } finally {
    running.delete(requestId)
  }
}

process.on('message', (message: ToEngine) => {
  if (message.type === 'generate') void generate(message)
  else if (message.type === 'abort') running.get(message.requestId)?.abort()
  else void engine.shutdown().then(() => process.disconnect())
})
// What sends requests has gone.
process.on('disconnect', () => process.exit())
send({ type: 'ready', models: engine.models, metrics: engine.metrics() })
