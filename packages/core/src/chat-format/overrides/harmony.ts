import type { KnownFormat } from '../known-format.ts'

/** gpt-oss. Its template writes calls into the next turn's header, so comparing shows half of them. */
export const harmony: KnownFormat = {
  name: 'harmony',
  matches: (source) => source.includes('<|channel|>') && source.includes('<|message|>'),
  format: {
    reasoning: {
      begin: '<|channel|>analysis<|message|>',
      end: '<|end|>',
      afterBegin: '',
      beforeEnd: '',
      afterEnd: '<|start|>assistant',
    },
    toolCalls: { begin: '', end: '', separator: null, call: { type: 'harmony' }, idStyle: 'any' },
    turn: '<|start|>assistant',
    content: { begin: '<|channel|>final<|message|>', end: '' },
  },
}
