/** The data of every server-sent event of a body, `[DONE]` included, JSON parsed where it is JSON. */
export function readEvents(body: string): unknown[] {
  return body
    .split('\n\n')
    .filter((event) => event !== '')
    .map((event) => {
      if (!event.startsWith('data: ')) throw new Error(`not a data event: ${event}`)
      const data = event.slice('data: '.length)
      return data === '[DONE]' ? data : (JSON.parse(data) as unknown)
    })
}
