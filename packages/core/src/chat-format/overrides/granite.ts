import type { KnownFormat } from '../known-format.ts'
import { plainJsonCall } from './plain-json-call.ts'

/** Granite 3: a JSON list behind a token; its templates tell so and leave calls out. */
export const granite: KnownFormat = {
  name: 'granite',
  matches: (source) => source.includes('<|tool_call|>') && source.includes('<|start_of_role|>'),
  format: {
    reasoning: null,
    toolCalls: {
      begin: '<|tool_call|>[',
      end: ']',
      separator: ', ',
      call: plainJsonCall('', ''),
      idStyle: 'any',
    },
    turn: null,
    content: null,
  },
}
