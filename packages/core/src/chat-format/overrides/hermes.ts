import type { KnownFormat } from '../known-format.ts'
import { plainJsonCall } from './plain-json-call.ts'

/** The form that most templates describe to the model, also those that write no calls back (SmolLM3). */
export const hermes: KnownFormat = {
  name: 'hermes',
  matches: (source) => /<tool_call>(?:\s|\\n)*\{/u.test(source) && source.includes('arguments'),
  format: {
    reasoning: null,
    toolCalls: {
      begin: '',
      end: '',
      separator: '\n',
      call: plainJsonCall('<tool_call>\n', '\n</tool_call>'),
      idStyle: 'any',
    },
    turn: null,
    content: null,
  },
}
