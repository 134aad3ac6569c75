import { once } from 'node:events'
import { createServer } from 'node:net'
import { InvalidConfigError } from '@octavo/core'

/**
 * Says at once that a port is taken, not after a model has been loaded for minutes.
 * @throws InvalidConfigError where the port is in use; other faults of the address are left to the server to explain.
 */
export async function checkAddress({ host, port }: { host: string; port: number }): Promise<void> {
  const probe = createServer()
  try {
    probe.listen(port, host)
    await once(probe, 'listening')
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EADDRINUSE')) return
    const remedy = 'stop the program that has it, or choose another port (0 = any free one).'
    throw new InvalidConfigError('port', `${port} is already in use on ${host}; ${remedy}`, { cause: error })
  } finally {
    probe.close()
  }
}
