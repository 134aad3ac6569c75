import type { OptionTable } from '@octavo/core'

/** Options of `octavo quantize` itself, beside those of the pipeline. */
export const quantizeOptionTable = {
  output: {
    group: 'files',
    short: '-o',
    type: { kind: 'text' },
    default: null,
    otherwise: 'must be given',
    doc: 'The folder that is made.',
  },
  calibration: {
    group: 'files',
    type: { kind: 'text' },
    default: null,
    otherwise: 'none',
    doc: 'A file of JSON lines with `text`, `messages` or `prompt` each (.jsonl), or of plain text, on which the model is run.',
  },
  recipe: {
    group: 'files',
    type: { kind: 'text' },
    default: null,
    otherwise: 'what --scheme and --method say',
    doc: "A recipe in YAML or JSON, in llm-compressor's vocabulary.",
  },
} as const satisfies OptionTable
