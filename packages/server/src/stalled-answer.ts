import type { ServerResponse } from 'node:http'

/**
 * Ends an answer of which the client has taken nothing for so long: what it holds would be held for ever. While there is
 * nothing to take, as before the first token, it may wait.
 */
export function endStalledAnswer(response: ServerResponse, timeoutMs: number): void {
  // Answers that are injected have no socket.
  if (typeof response.socket?.setTimeout !== 'function') return
  response.setTimeout(timeoutMs, () => {
    if (response.writableLength > 0) response.destroy()
  })
}
