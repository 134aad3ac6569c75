/** An answer as a program without a client library has it. */
export interface Answer<Body> {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Of JSON. */
  readonly body: Body
}

/** Requests to a server, in JSON. */
export interface Asking {
  post<Body = ErrorAnswer>(
    path: string,
    body: object,
    headers?: Readonly<Record<string, string>>,
  ): Promise<Answer<Body>>
  get<Body = ErrorAnswer>(path: string, headers?: Readonly<Record<string, string>>): Promise<Answer<Body>>
}

export interface ErrorAnswer {
  readonly error: { readonly message: string; readonly type: string; readonly param: string | null }
}

export function askAt(origin: string): Asking {
  return {
    post: (path, body, headers = {}) =>
      answerOf(
        fetch(`${origin}${path}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', ...headers },
          body: JSON.stringify(body),
        }),
      ),
    get: (path, headers = {}) => answerOf(fetch(`${origin}${path}`, { headers })),
  }
}

async function answerOf<Body>(sent: Promise<Response>): Promise<Answer<Body>> {
  const response = await sent
  const text = await response.text()
  const isJson = response.headers.get('content-type')?.startsWith('application/json') === true
  return {
    status: response.status,
    headers: response.headers,
    text,
    body: (isJson && text !== '' ? JSON.parse(text) : null) as Body,
  }
}

/** All of a stream. */
export async function collect<Item>(items: AsyncIterable<Item>): Promise<Item[]> {
  const all: Item[] = []
  for await (const item of items) all.push(item)
  return all
}
