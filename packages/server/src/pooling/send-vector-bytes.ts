import { Readable } from 'node:stream'
import type { PoolingOutput, TurnQueue } from '@octavo/core'
import type { VectorEncoding } from '@octavo/sdk/protocol'
import type { FastifyReply } from 'fastify'
import { HttpError } from '../http-error.ts'
import type { Pooling } from './open-pooling.ts'
import { vectorBytes } from './encode-vector.ts'
import { PoolingUsage } from './pool-prompts.ts'

/** Node's clients take no more headers than 16 KiB. */
const maxMetadataLength = 12 * 1024

/** Vectors one behind the other; which is whose, says the header `metadata` of the format `bytes`. */
export async function sendVectorBytes(
  reply: FastifyReply,
  outputs: readonly PoolingOutput[],
  { encoding, frame, turns }: { encoding: VectorEncoding; frame: Pooling; turns: TurnQueue },
): Promise<FastifyReply> {
  const vectors: Buffer[] = []
  for (const { data } of outputs)
    vectors.push(await turns.run(() => vectorBytes(data, encoding), { caller: vectors, signal: frame.signal }))
  if (encoding.encoding_format === 'bytes') reply.header('metadata', metadataOf(outputs, vectors, { encoding, frame }))
  reply.type('application/octet-stream')
  reply.header(
    'content-length',
    vectors.reduce((total, { length }) => total + length, 0),
  )
  return reply.send(Readable.from(vectors, { objectMode: false }))
}

/** @throws HttpError 400 where no header can hold it */
function metadataOf(
  outputs: readonly PoolingOutput[],
  vectors: readonly Buffer[],
  { encoding, frame }: { encoding: VectorEncoding; frame: Pooling },
): string {
  const usage = new PoolingUsage()
  let end = 0
  const data = outputs.map((output, index) => {
    usage.add(output)
    const start = end
    end += vectors[index]!.length
    const { embed_dtype, endianness } = encoding
    const written = { embed_dtype: embed_dtype ?? 'float32', endianness: endianness ?? 'native' }
    return { index, ...written, start, end, shape: output.shape }
  })
  const { id, created, model } = frame
  const metadata = asciiJson({ id, created, model, data, usage: usage.usage() })
  if (metadata.length <= maxMetadataLength) return metadata
  const message = `encoding_format: "bytes" has no room in a header for the places of ${outputs.length} vectors; write "bytes_only", where they stand in the order of the inputs, or send fewer at once.`
  throw new HttpError(400, message, { param: 'encoding_format' })
}

/** Headers are ASCII. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
