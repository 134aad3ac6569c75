import type { KnownFormat } from '../known-format.ts'

/** Kimi K2's first templates leave calls out. */
export const kimi: KnownFormat = {
  name: 'kimi',
  matches: (source) => source.includes('<|im_middle|>') && source.includes('tool_declare'),
  format: {
    reasoning: null,
    toolCalls: {
      begin: '<|tool_calls_section_begin|>',
      end: '<|tool_calls_section_end|>',
      separator: '',
      call: {
        type: 'named',
        frame: [
          { text: '<|tool_call_begin|>' },
          'id',
          { text: '<|tool_call_argument_begin|>' },
          'arguments',
          { text: '<|tool_call_end|>' },
        ],
        hasNameInId: true,
      },
      idStyle: 'any',
    },
    turn: null,
    content: null,
  },
}
