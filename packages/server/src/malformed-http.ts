import type { Socket } from 'node:net'
import { HttpError } from './http-error.ts'
import { openaiDialect } from './openai/dialect.ts'

/** Bytes that are not HTTP, headers too large, or a request that takes too long: the parser gave up before there was a request. */
export function answerMalformedHttp(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) return void socket.destroy()
  const { status, reason, message } = describe(error.code)
  const body = JSON.stringify(openaiDialect.errorBody(new HttpError(status, message)))
  const head = [
    `HTTP/1.1 ${status} ${reason}`,
    'Content-Type: application/json; charset=utf-8',
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  socket.end([...head, 'Connection: close', '', body].join('\r\n'), () => socket.destroy())
}

function describe(code: string | undefined): { status: number; reason: string; message: string } {
  switch (code) {
    case 'HPE_HEADER_OVERFLOW':
      return { status: 431, reason: 'Request Header Fields Too Large', message: 'The headers are too large.' }
    case 'ERR_HTTP_REQUEST_TIMEOUT':
      return { status: 408, reason: 'Request Timeout', message: 'The request did not arrive in time.' }
    default:
      return { status: 400, reason: 'Bad Request', message: 'This is not a valid HTTP request.' }
  }
}
