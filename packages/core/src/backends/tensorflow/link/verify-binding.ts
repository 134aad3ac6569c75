import { fileURLToPath } from 'node:url'
import { z } from 'zod'
import { extendEnv } from '../../../config/env.ts'
import { plainText } from '../../../util/plain-text.ts'
import { type ProgramResult, runProgram, tailOf } from './run-program.ts'
import { TensorflowLinkError } from './tensorflow-link-error.ts'

const deviceSchema = z.object({ type: z.string(), name: z.string(), memoryBytes: z.number() })
const checkSchema = z.object({
  version: z.string(),
  isUsingGpu: z.boolean(),
  devices: z.array(deviceSchema),
  missingOps: z.string().nullable(),
})
const answerSchema = z.union([z.object({ check: checkSchema }), z.object({ error: z.string() })])

export type VerifiedBinding = z.infer<typeof checkSchema>

/** The first load of a CUDA build may compile kernels for a GPU that it has none for. */
const timeoutMs = 30 * 60_000

/**
 * Loads the binding, a file or what is in a folder, in a process of its own and computes with it.
 *
 * @throws TensorflowLinkError with the reason, a crash included.
 */
export async function verifyBinding(file: string): Promise<VerifiedBinding> {
  // Sources run as they are (type stripping); the build puts the entry beside its chunks.
  const entry = import.meta.url.endsWith('.ts') ? './verification.ts' : './tensorflow-verification.js'
  const result = await runProgram(process.execPath, [fileURLToPath(new URL(entry, import.meta.url))], {
    timeoutMs,
    env: extendEnv({ OCTAVO_TENSORFLOW: file }),
  })
  const answer = parseAnswer(result.stdout)
  if (answer !== null && 'check' in answer && result.exitCode === 0) return answer.check
  const reason = answer !== null && 'error' in answer ? plainText(answer.error) : explainEnd(result)
  throw new TensorflowLinkError(
    'verify',
    `The binding was built, but does not work: ${reason}. Nothing was changed; try another TensorFlow with --python or --lib.`,
  )
}

function parseAnswer(stdout: string): z.infer<typeof answerSchema> | null {
  try {
    return answerSchema.parse(JSON.parse(stdout.trim().split('\n').at(-1) ?? ''))
  } catch {
    return null
  }
}

function explainEnd({ signal, exitCode, stderr }: ProgramResult): string {
  const end = signal === null ? `it ended with ${exitCode}` : `${signal} ended it`
  const hint = signal === 'SIGILL' ? ' (this TensorFlow uses instructions that the CPU does not have)' : ''
  return `${end}${hint}:\n${tailOf(stderr, 10)}\n`
}
