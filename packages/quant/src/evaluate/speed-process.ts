/** A process of its own per measurement: its memory is that of one model. */
import { toTransferredError } from '@octavo/core/engine'
import { measureSpeed, type SpeedJob } from './measure-speed.ts'

// Whoever asked is gone.
process.on('disconnect', () => process.exit(1))
process.once('message', (job: SpeedJob) => {
  void measureSpeed(job).then(
    (figures) => reply({ figures }),
    (error: unknown) => reply({ error: toTransferredError(error instanceof Error ? error : new Error(String(error))) }),
  )
})

function reply(message: object): void {
  process.send?.(message, undefined, undefined, () => process.exit(0))
}
