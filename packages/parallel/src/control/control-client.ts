import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { type ControlAddress, preambleOf } from './control-server.ts'

/** Calls the driver back. The socket is connected and knows who is there; frames follow. */
export async function callBack({ host, port, token }: ControlAddress, rank: number): Promise<Socket> {
  const socket = connect({ host, port })
  try {
    await once(socket, 'connect')
  } catch (error) {
    throw new Error(
      `rank ${rank} cannot reach its driver at ${host}:${port}; controlHost names another address of it`,
      {
        cause: error,
      },
    )
  }
  socket.write(preambleOf(token, rank))
  return socket
}
