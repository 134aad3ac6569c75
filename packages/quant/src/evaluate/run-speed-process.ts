import { fork } from 'node:child_process'
import { once } from 'node:events'
import { EngineDeadError } from '@octavo/core'
import { fromTransferredError, type TransferredError } from '@octavo/core/engine'
import type { SpeedFigures, SpeedJob } from './measure-speed.ts'

type Reply = { readonly figures: SpeedFigures } | { readonly error: TransferredError }

/** Measures in a process of its own. @throws whatever the model's load throws; EngineDeadError where the process ended */
export async function runSpeedProcess(job: SpeedJob): Promise<SpeedFigures> {
  // In `dist` this file is part of a chunk beside the program.
  const program = new URL(
    import.meta.url.endsWith('.ts') ? './speed-process.ts' : './speed-process.js',
    import.meta.url,
  )
  const child = fork(program, { stdio: ['ignore', 'ignore', 'inherit', 'ipc'] })
  const ended = once(child, 'exit')
  try {
    child.send(job)
    const first = await Promise.race([once(child, 'message'), ended.then(() => null)])
    if (first === null)
      throw new EngineDeadError(
        `the process that measured ${job.model} ended (${child.signalCode ?? `exit code ${child.exitCode}`})`,
      )
    const [reply] = first as [Reply] // what speed-process.ts sends
    if ('error' in reply) throw fromTransferredError(reply.error)
    return reply.figures
  } finally {
    if (child.exitCode === null && child.signalCode === null) child.kill()
    await ended
  }
}
