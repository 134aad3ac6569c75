import type { ChatMessage, OptionTable, ToolDefinition } from '@octavo/core'

/** One calibration text: as it stands, a conversation for the model's chat template, or a prompt with its completion. */
export type CalibrationSample =
  | string
  | { readonly text: string }
  | { readonly messages: readonly ChatMessage[]; readonly tools?: readonly ToolDefinition[] }
  | { readonly prompt: string; readonly completion?: string }

export interface CalibrationOptions {
  /**
   * A file of JSON lines with `text`, `messages` or `prompt` each (`.jsonl`), a file of plain text (anything else), or the
   * texts themselves.
   */
  readonly data: string | readonly CalibrationSample[]
  /** How many of the texts are taken, at random by the seed where there are more. */
  readonly numSamples?: number
  /** Of a sample, in tokens; what is longer is cut, and plain text is cut into pieces of this length. */
  readonly maxSeqLength?: number
  /** Whether only answers count: what `messages` and `prompt` ask is run, but no pass is shown it. */
  readonly maskPrompts?: boolean
}

/** One row per option; checks, flags, their help and docs/quantization-options.md derive from it. */
export const calibrationOptionTable = {
  numSamples: {
    group: 'calibration',
    type: { kind: 'integer', min: 1, max: 1_000_000 },
    default: 128,
    doc: 'How many calibration texts are taken, at random by `seed` where the file has more.',
  },
  maxSeqLength: {
    group: 'calibration',
    type: { kind: 'integer', min: 8, max: 1_048_576 },
    default: 256,
    unit: 'tokens',
    doc: 'A longer calibration text is cut to this length; a file of plain text is cut into pieces of it.',
  },
  maskPrompts: {
    group: 'calibration',
    type: { kind: 'boolean' },
    default: false,
    doc: 'Only answers count: what the `messages` or the `prompt` of a calibration text ask is run, but no algorithm looks at it (only scales of a KV cache heed it too).',
  },
} as const satisfies OptionTable
