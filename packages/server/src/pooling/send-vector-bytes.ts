import { Readable } from 'node:stream'
import type { PoolingOutput, TurnQueue } from '@octavo/core'
import { rowBytes } from '@octavo/core/loading'
import type { VectorEncoding } from '@octavo/sdk/protocol'
import type { FastifyReply } from 'fastify'
import { HttpError } from '../http-error.ts'
import type { Pooling } from './open-pooling.ts'
import { vectorBytes } from './encode-vector.ts'
import { PoolingUsage } from './pool-prompts.ts'

/** Node's clients take no more headers than 16 KiB. */
const maxMetadataLength = 12 * 1024

/** Their length stands before them, so that all are there before the first is sent. */
const maxHeldBytes = 256 * 1024 * 1024

interface SendOptions {
  readonly encoding: VectorEncoding
  readonly frame: Pooling
  readonly turns: TurnQueue
}

interface EncodedVector {
  readonly bytes: Buffer
  readonly shape: readonly number[]
}

/** Vectors one behind the other; which is whose, says the header `metadata` of the format `bytes`. @throws HttpError 400 where they are too many */
export async function sendVectorBytes(
  reply: FastifyReply,
  outputs: AsyncIterable<PoolingOutput>,
  { encoding, frame, turns }: SendOptions,
): Promise<FastifyReply> {
  const usage = new PoolingUsage()
  const vectors: EncodedVector[] = []
  let length = 0
  for await (const output of outputs) {
    const { data, shape } = output
    usage.add(output)
    length += rowBytes(encoding.embed_dtype ?? 'float32', data.length)
    if (length > maxHeldBytes) throw tooManyBytes(encoding)
    const encode = (): Buffer => vectorBytes(data, encoding)
    vectors.push({ bytes: await turns.run(encode, { caller: vectors, signal: frame.signal }), shape })
  }
  if (encoding.encoding_format === 'bytes') reply.header('metadata', metadataOf(vectors, usage, { encoding, frame }))
  reply.type('application/octet-stream')
  reply.header('content-length', length)
  const bytes = vectors.map((vector) => vector.bytes)
  return reply.send(Readable.from(bytes, { objectMode: false }))
}

function tooManyBytes({ encoding_format: format }: VectorEncoding): HttpError {
  const message = `encoding_format: "${format}" answers with at most ${maxHeldBytes} bytes at once, and these inputs have more; send fewer at once, or ask for "base64".`
  return new HttpError(400, message, { param: 'encoding_format' })
}

/** @throws HttpError 400 where no header can hold it */
function metadataOf(
  vectors: readonly EncodedVector[],
  usage: PoolingUsage,
  { encoding, frame }: Pick<SendOptions, 'encoding' | 'frame'>,
): string {
  let end = 0
  const data = vectors.map(({ bytes, shape }, index) => {
    const start = end
    end += bytes.length
    const { embed_dtype, endianness } = encoding
    const written = { embed_dtype: embed_dtype ?? 'float32', endianness: endianness ?? 'native' }
    return { index, ...written, start, end, shape }
  })
  const { id, created, model } = frame
  const metadata = asciiJson({ id, created, model, data, usage: usage.usage() })
  if (metadata.length <= maxMetadataLength) return metadata
  const message = `encoding_format: "bytes" has no room in a header for the places of ${vectors.length} vectors; write "bytes_only", where they stand in the order of the inputs, or send fewer at once.`
  throw new HttpError(400, message, { param: 'encoding_format' })
}

/** Headers are ASCII. */
function asciiJson(value: unknown): string {
  return JSON.stringify(value).replace(
    /[^\x20-\x7e]/g,
    (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}
