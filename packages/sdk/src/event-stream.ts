import { createParser } from 'eventsource-parser'

/** No event of a completion comes near this; a stream without line ends must not grow without bound. */
const maxBufferLength = 64 * 1024 * 1024

/** Server-sent events → their data, in order. Ending the iteration early cancels the body. */
export async function* readEventData(body: ReadableStream<Uint8Array>): AsyncGenerator<string, void, undefined> {
  const ready: string[] = []
  const parser = createParser({
    maxBufferSize: maxBufferLength,
    onEvent: (event) => ready.push(event.data),
    onError: (error) => {
      if (error.type === 'max-buffer-size-exceeded') throw error
    },
  })
  const decoder = new TextDecoder()
  const reader = body.getReader()
  let isExhausted = false
  try {
    while (!isExhausted) {
      const { done, value } = await reader.read()
      isExhausted = done
      if (value !== undefined) parser.feed(decoder.decode(value, { stream: true }))
      yield* ready.splice(0)
    }
  } finally {
    if (!isExhausted) await reader.cancel().catch(() => undefined)
    reader.releaseLock()
  }
}
