import type { FastifyInstance } from 'fastify'

/** What a request with a form needs, as clients of the Fetch standard make it. */
export async function formRequest(
  file: string | Uint8Array<ArrayBuffer> | null,
  { filename = 'in.jsonl', ...fields }: Record<string, string> = {},
): Promise<{ payload: Buffer; headers: Record<string, string> }> {
  const form = new FormData()
  for (const [name, value] of Object.entries({ purpose: 'batch', ...fields })) form.append(name, value)
  if (file !== null) form.append('file', new Blob([file]), filename)
  const request = new Request('http://localhost', { method: 'POST', body: form })
  return {
    payload: Buffer.from(await request.arrayBuffer()),
    headers: { 'content-type': request.headers.get('content-type') ?? '' },
  }
}

export async function upload(
  app: FastifyInstance,
  file: string,
  headers: Record<string, string> = {},
): Promise<string> {
  const form = await formRequest(file)
  const response = await app.inject({
    method: 'POST',
    url: '/v1/files',
    payload: form.payload,
    headers: { ...form.headers, ...headers },
  })
  if (response.statusCode !== 200) throw new Error(response.body)
  return (response.json() as { id: string }).id
}
