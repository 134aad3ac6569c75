import type { KnownFormat } from '../known-format.ts'

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
      call: {
        type: 'json',
        begin: '<tool_call>\n',
        end: '\n</tool_call>',
        frame: [{ text: '{"name": "' }, 'name', { text: '", "arguments": ' }, 'arguments', { text: '}' }],
        namePath: ['name'],
        argumentsPath: ['arguments'],
        idPath: null,
        constantKeys: [],
        hasTextArguments: false,
      },
      idStyle: 'any',
    },
    turn: null,
    content: null,
  },
}
