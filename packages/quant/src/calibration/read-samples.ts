import { readFileSync, statSync } from 'node:fs'
import { uniformAt } from '@octavo/core'
import { QuantizationError } from '@octavo/core/quantization'
import { z } from 'zod'
import type { CalibrationSample } from './calibration-options.ts'

const maxFileBytes = 512 * 1024 * 1024

/** What a file holds before it is known what the texts are. */
export type SampleSource =
  | {
      readonly kind: 'samples'
      readonly count: number
      sample(index: number): CalibrationSample
      place(index: number): string
    }
  /** One long text, to be cut into pieces. */
  | { readonly kind: 'stream'; readonly file: string; readonly text: string }

/** @throws QuantizationError naming the file and what is wrong with it */
export function openSamples(data: string | readonly CalibrationSample[]): SampleSource {
  if (typeof data !== 'string') {
    return {
      kind: 'samples',
      count: data.length,
      sample: (index) => parseSample(data[index], `calibration[${index}]`),
      place: (index) => `calibration[${index}]`,
    }
  }
  const text = readText(data)
  if (!/\.(jsonl|ndjson)$/i.test(data)) return { kind: 'stream', file: data, text }
  const lines = text.split('\n').flatMap((line, i) => (line.trim() === '' ? [] : [{ line, number: i + 1 }]))
  const place = (index: number): string => `${data}:${lines[index]!.number}`
  return {
    kind: 'samples',
    count: lines.length,
    sample: (index) => parseSample(parseLine(lines[index]!.line, place(index)), place(index)),
    place,
  }
}

/** `count` of `total` places in ascending order, the same for the same seed. */
export function choosePlaces(total: number, count: number, seed: number): number[] {
  const places = Array.from({ length: total }, (_, i) => i)
  if (count >= total) return places
  // Fisher and Yates, as far as needed.
  for (let i = 0; i < count; i++) {
    const other = i + Math.floor(uniformAt(seed, i) * (total - i))
    ;[places[i], places[other]] = [places[other]!, places[i]!]
  }
  return places.slice(0, count).sort((a, b) => a - b)
}

function readText(file: string): string {
  const stat = statSync(file, { throwIfNoEntry: false })
  if (stat === undefined || !stat.isFile())
    throw new QuantizationError(`the calibration file ${file} ${stat === undefined ? 'does not exist' : 'is no file'}`)
  if (stat.size > maxFileBytes)
    throw new QuantizationError(
      `the calibration file ${file} has ${stat.size} bytes; at most ${maxFileBytes} are read. A few thousand texts are plenty: take a part of it`,
    )
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(readFileSync(file))
  } catch (error) {
    throw new QuantizationError(`the calibration file ${file} is not UTF-8 text`, { cause: error })
  }
}

function parseLine(line: string, place: string): unknown {
  try {
    return JSON.parse(line)
  } catch (error) {
    throw new QuantizationError(
      `${place}: the line is no JSON; each line is an object with "text", "messages" or "prompt"`,
      {
        cause: error,
      },
    )
  }
}

const message = z.looseObject({ role: z.string() })
const sampleSchema = z.union([
  z.string(),
  z.looseObject({ messages: z.array(message).min(1), tools: z.array(z.unknown()).optional() }),
  z.looseObject({ prompt: z.string(), completion: z.string().optional() }),
  z.looseObject({ text: z.string() }),
])

function parseSample(value: unknown, place: string): CalibrationSample {
  const parsed = sampleSchema.safeParse(value)
  if (!parsed.success)
    throw new QuantizationError(
      `${place}: is no calibration text; it must be an object with "text" (a string), "messages" (a list of { role, content }) or "prompt" (a string, with a "completion" or without)`,
    )
  return parsed.data as CalibrationSample // messages are checked by the template that they are for
}
