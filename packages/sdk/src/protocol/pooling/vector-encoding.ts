import { z } from 'zod'

/** How numbers go over the wire. */
export const vectorEncodingShape = {
  /** Numbers, base64 of their bytes, or the bytes alone (`bytes`: with a header `metadata` that says whose they are). Default `float`. */
  encoding_format: z.enum(['float', 'base64', 'bytes', 'bytes_only']).nullish(),
  /** Of the bytes. Default `float32`, as OpenAI's clients expect. */
  embed_dtype: z
    .enum(['float32', 'float16', 'bfloat16'], {
      error: 'must be "float32", "float16" or "bfloat16"; vLLM\'s 8-bit floats are not supported yet',
    })
    .nullish(),
  /** Of the bytes. Default `native`, which is little here. */
  endianness: z.enum(['native', 'little', 'big']).nullish(),
}

const vectorEncodingSchema = z.object(vectorEncodingShape)
export type VectorEncoding = z.infer<typeof vectorEncodingSchema>

export function checkVectorEncoding(encoding: VectorEncoding, fail: (field: string, message: string) => void): void {
  if ((encoding.encoding_format ?? 'float') !== 'float') return
  const needsBytes = 'is for bytes; it needs encoding_format "base64", "bytes" or "bytes_only"'
  if ((encoding.embed_dtype ?? 'float32') !== 'float32') fail('embed_dtype', needsBytes)
  if ((encoding.endianness ?? 'native') !== 'native') fail('endianness', needsBytes)
}
