import { z } from 'zod'
import { boundedArray } from '../bounded-array.ts'
import { quote } from '../chat-message.ts'
import { jsonObjectSchema } from '../json-object.ts'
import { type FailField, toolNameSchema } from '../tool.ts'
import { onlyNeutral, unsupportedOption } from '../unsupported-option.ts'

/** A function that the client runs. */
export const responseToolSchema = z.object({
  type: z.literal('function', { error: ({ input }) => describeWrongTool(input) }),
  name: toolNameSchema,
  description: z.string().nullish(),
  /** JSON Schema of an object. */
  parameters: jsonObjectSchema.nullish(),
  /** Hold calls of this tool to `parameters`. Default false. */
  strict: z.boolean().nullish(),
  defer_loading: onlyNeutral(false),
  async: onlyNeutral(false),
  allowed_callers: z
    .custom<['direct']>((value) => Array.isArray(value) && value.length === 1 && value[0] === 'direct', {
      error: 'only ["direct"] is supported: programs that call tools are not',
    })
    .meta({ const: ['direct'] })
    .nullish(),
  output_schema: unsupportedOption(),
})

const namedTool = z.object({
  type: z.literal('function', { error: ({ input }) => describeWrongTool(input) }),
  name: z.string().min(1),
})

const allowedTools = z.object({
  type: z.literal('allowed_tools'),
  mode: z.enum(['auto', 'required']).default('auto'),
  tools: boundedArray(namedTool, { min: 1, max: 1024 }),
})

const choiceForms =
  'must be "none", "auto", "required", {"type": "function", "name": …} or {"type": "allowed_tools", "mode": …, "tools": […]}'

/** As chat's, in one level less. */
export const responseToolChoiceSchema = z.union([
  z.enum(['none', 'auto', 'required'], { error: choiceForms }),
  z.discriminatedUnion('type', [namedTool, allowedTools], { error: choiceForms }),
])

export type ResponseTool = z.infer<typeof responseToolSchema>
export type ResponseToolChoice = z.infer<typeof responseToolChoiceSchema>

interface ToolFields {
  readonly tools?: readonly ResponseTool[] | null | undefined
  readonly tool_choice?: ResponseToolChoice | null | undefined
}

/** Rules between the tools and the choice among them. */
export function checkResponseTools({ tools, tool_choice: choice }: ToolFields, fail: FailField): void {
  const names = new Set<string>()
  for (const [index, { name }] of (tools ?? []).entries()) {
    if (names.has(name)) return fail(`tools.${index}.name`, `names the tool "${name}" a second time`)
    names.add(name)
  }
  // OpenAI's clients say it where there are no tools, too.
  if (choice == null || choice === 'none' || choice === 'auto') return
  if (names.size === 0) return fail('tool_choice', 'needs tools')
  const unknown = namesOf(choice).find((name) => !names.has(name))
  if (unknown !== undefined)
    fail('tool_choice', `names ${quote(unknown)}, which is none of the tools (${[...names].slice(0, 16).join(', ')})`)
}

function namesOf(choice: ResponseToolChoice): string[] {
  if (typeof choice === 'string') return []
  return choice.type === 'function' ? [choice.name] : choice.tools.map(({ name }) => name)
}

function describeWrongTool(type: unknown): string {
  return `tools of type ${quote(type)} are not supported: this server runs no tools itself, only "function" is left to the client`
}
