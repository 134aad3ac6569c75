import type { KnownFormat } from '../known-format.ts'

/** DeepSeek V3 and R1 where the template cannot be rendered with calls. */
export const deepseekCalls: KnownFormat = {
  name: 'deepseek',
  matches: (source) => source.includes('<｜tool▁calls▁begin｜>'),
  format: {
    reasoning: null,
    toolCalls: {
      begin: '<｜tool▁calls▁begin｜>',
      end: '<｜tool▁calls▁end｜>',
      separator: '\n',
      call: {
        type: 'named',
        frame: [
          { text: '<｜tool▁call▁begin｜>function<｜tool▁sep｜>' },
          'name',
          { text: '\n```json\n' },
          'arguments',
          { text: '\n```<｜tool▁call▁end｜>' },
        ],
        hasNameInId: false,
      },
      idStyle: 'any',
    },
    turn: null,
    content: null,
  },
}
