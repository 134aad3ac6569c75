import { z } from 'zod'
import { jsonObjectSchema } from '../json-object.ts'
import { toolNameSchema } from '../tool.ts'
import { onlyNeutral } from '../unsupported-option.ts'

/** A tool that the client runs. `cache_control` is dropped; input is streamed as it is written with or without `eager_input_streaming`. */
export const messageToolSchema = z.object(
  {
    type: z
      .string()
      .nullish()
      .refine((type) => type == null || type === 'custom', { error: describeServerTool }),
    name: toolNameSchema,
    description: z.string().nullish(),
    /** JSON Schema of an object. */
    input_schema: z
      .record(z.string(), z.unknown(), { error: 'is required: the JSON Schema of the input' })
      .pipe(jsonObjectSchema),
    /** Hold calls of this tool to `input_schema`, whenever the model makes one. */
    strict: z.boolean().nullish(),
    defer_loading: onlyNeutral(false, 'needs a search for tools, which this server does not have; leave it out'),
    input_examples: onlyNeutral([], 'is not supported; put the examples into the description,'),
    allowed_callers: z
      .custom<['direct']>((value) => Array.isArray(value) && value.every((caller) => caller === 'direct'), {
        error: 'only ["direct"] is supported: this server runs no code that could call tools',
      })
      .meta({ const: ['direct'] })
      .nullish(),
  },
  { error: 'must be an object with name and input_schema' },
)

/** What the type of a tool says is that Anthropic knows it, or runs it: neither is so here. */
function describeServerTool({ input }: { readonly input?: unknown }): string {
  const type = String(input)
  const quoted = JSON.stringify(type.length > 64 ? `${type.slice(0, 64)}…` : type)
  return `tools of type ${quoted} are not supported; describe a tool of your own with name and input_schema, which you run yourself`
}

const parallel = { disable_parallel_tool_use: z.boolean().nullish() }

export const messageToolChoiceSchema = z.discriminatedUnion(
  'type',
  [
    z.object({ type: z.literal('auto'), ...parallel }),
    z.object({ type: z.literal('any'), ...parallel }),
    z.object({ type: z.literal('tool'), name: z.string().min(1), ...parallel }),
    z.object({ type: z.literal('none') }),
  ],
  { error: 'must be an object with the type "auto", "any", "tool" (and a name) or "none"' },
)

export type MessageTool = z.infer<typeof messageToolSchema>
export type MessageToolChoice = z.infer<typeof messageToolChoiceSchema>

interface ToolFields {
  readonly tools?: readonly MessageTool[] | null | undefined
  readonly tool_choice?: MessageToolChoice | null | undefined
}

/** Rules between the tools and the choice among them. */
export function checkMessageTools(
  { tools, tool_choice: choice }: ToolFields,
  fail: (field: string, message: string) => void,
): void {
  const names = new Set<string>()
  for (const [index, { name }] of (tools ?? []).entries()) {
    if (names.has(name)) return fail(`tools.${index}.name`, `names the tool "${name}" a second time`)
    names.add(name)
  }
  if (choice == null || choice.type === 'none') return
  if (names.size === 0) return fail('tool_choice', 'needs tools')
  if (choice.type === 'tool' && !names.has(choice.name))
    fail('tool_choice', `names "${choice.name}", which is none of the tools (${[...names].slice(0, 16).join(', ')})`)
}
