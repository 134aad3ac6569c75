import type { JsonCallSyntax } from '../chat-format.ts'

/** A call as most models are trained to write it. */
export function plainJsonCall(begin: string, end: string): JsonCallSyntax {
  return {
    type: 'json',
    begin,
    end,
    frame: [{ text: '{"name": "' }, 'name', { text: '", "arguments": ' }, 'arguments', { text: '}' }],
    namePath: ['name'],
    argumentsPath: ['arguments'],
    idPath: null,
    constantKeys: [],
    hasTextArguments: false,
  }
}
