import type { KnownFormat } from '../known-format.ts'

/** Llama 4: calls in Python's form. The template describes it, and writes calls back as JSON. */
export const llama4: KnownFormat = {
  name: 'llama4-pythonic',
  matches: (source) => /\[func_name1\(/u.test(source),
  format: {
    reasoning: null,
    toolCalls: { begin: '[', end: ']', separator: ', ', call: { type: 'pythonic' }, idStyle: 'any' },
    turn: '<|header_start|>assistant<|header_end|>',
    content: null,
  },
}

/** LFM2 and 2.5: the same between two tokens of its own; earlier calls are part of the content there, or in Python's form. */
export const lfm2: KnownFormat = {
  name: 'lfm2-pythonic',
  matches: (source) => source.includes('<|tool_list_start|>') || source.includes('List of tools: ['),
  format: {
    reasoning: null,
    toolCalls: {
      begin: '<|tool_call_start|>[',
      end: ']<|tool_call_end|>',
      separator: ', ',
      call: { type: 'pythonic' },
      idStyle: 'any',
    },
    turn: null,
    content: null,
  },
}
