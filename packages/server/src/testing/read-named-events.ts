/** The events of a stream whose events have names. */
export function readNamedEvents<Event = unknown>(body: string): { readonly name: string; readonly data: Event }[] {
  return body
    .split('\n\n')
    .filter((text) => text !== '')
    .map((text) => {
      const [, name = '', data = ''] = /^event: (\w+)\ndata: (.*)$/s.exec(text) ?? []
      return { name, data: JSON.parse(data) as Event }
    })
}
