import type { Tag, TagFormat } from '../structured-output/structural-tag.ts'
import type { ToolDefinition } from '../tokenizer/chat-message.ts'
import { type ArgumentsContext, createArgumentsContext } from './arguments-context.ts'
import type { CallFrame, ToolCallSyntax } from './chat-format.ts'
import { pythonicArguments } from './pythonic-arguments.ts'
import { tagOf } from './join-formats.ts'
import { taggedArguments } from './tagged-arguments.ts'

const digits: TagFormat = { type: 'regex', pattern: '[0-9]{1,3}' }
/** The text of a JSON string. */
const textGrammar = String.raw`root ::= "\"" [^"\\\x00-\x1f]* (escape [^"\\\x00-\x1f]*)* "\""
escape ::= "\\" ["\\/bfnrt]
`

/** One call of a tool in the model's dialect. */
export function callTag(syntax: ToolCallSyntax, tool: ToolDefinition, isHeld: boolean): Tag {
  const { call } = syntax
  const { name } = tool.function
  const context = createArgumentsContext(tool, isHeld)
  const idFormat: TagFormat = {
    type: 'regex',
    pattern: syntax.idStyle === 'nineAlphanumerics' ? '[A-Za-z0-9]{9}' : '[A-Za-z0-9_-]{1,64}',
  }
  const parts = (
    frame: CallFrame,
    args: readonly (string | TagFormat)[],
    hasNameInId = false,
  ): (string | TagFormat)[] =>
    frame.flatMap((part): readonly (string | TagFormat)[] => {
      if (typeof part === 'object') return [part.text]
      if (part === 'name') return [name]
      if (part === 'index') return [digits]
      if (part === 'arguments') return args
      return hasNameInId ? [`functions.${name}:`, digits] : [idFormat]
    })
  switch (call.type) {
    case 'json': {
      const args: TagFormat = call.hasTextArguments ? { type: 'grammar', grammar: textGrammar } : objectOf(context)
      return tagOf([call.begin, ...parts(call.frame, [args]), call.end])
    }
    case 'named':
      return tagOf(parts(call.frame, [objectOf(context)], call.hasNameInId))
    case 'tagged':
      return tagOf(parts(call.frame, taggedArguments(call, context)))
    case 'pythonic':
      return tagOf([`${name}(`, ...pythonicArguments(context), ')'])
    case 'harmony':
      return tagOf([`<|channel|>commentary to=functions.${name} <|constrain|>json<|message|>`, objectOf(context)])
  }
}

function objectOf({ grammarOf, parameters, isHeld }: ArgumentsContext): TagFormat {
  return grammarOf(isHeld ? parameters : { type: 'object' })
}
