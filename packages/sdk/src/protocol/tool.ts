import { z } from 'zod'
import { boundedArray } from './bounded-array.ts'
import { jsonObjectSchema } from './json-object.ts'

const toolName = /^[\p{L}\p{N}_.:/-]{1,128}$/u

/** OpenAI's rule and more: other letters, and what gateways put between parts of a name. */
export const toolNameSchema = z
  .string({ error: 'is required: the name by which the model calls the tool' })
  .regex(toolName, {
    error: 'must be 1 to 128 letters, digits, "_", ".", ":", "/" or "-"',
  })

/** A function signature; it reaches the chat template unchanged. */
export const toolSchema = z.looseObject({
  type: z.literal('function', { error: 'must be "function": tools that a server runs itself are not supported' }),
  function: z.looseObject(
    {
      name: toolNameSchema,
      description: z.string().nullish(),
      /** JSON Schema of an object. */
      parameters: jsonObjectSchema.nullish(),
      /** Hold calls of this tool to `parameters`, whenever the model makes one. */
      strict: z.boolean().nullish(),
    },
    { error: 'must be an object with a name' },
  ),
})

const namedTool = z.object({ type: z.literal('function'), function: z.object({ name: z.string().min(1) }) })

const allowedTools = z.object({
  type: z.literal('allowed_tools'),
  allowed_tools: z.object({
    mode: z.enum(['auto', 'required']),
    tools: boundedArray(namedTool, { min: 1, max: 1024 }),
  }),
})

const choiceForms =
  'must be "none", "auto", "required", {"type": "function", "function": {"name": …}} or {"type": "allowed_tools", "allowed_tools": {"mode": …, "tools": […]}}'

/** 'none' leaves the tools out of the prompt; `allowed_tools` leaves all in it, and lets the model call some. */
export const toolChoiceSchema = z.union([
  z.enum(['none', 'auto', 'required'], { error: choiceForms }),
  z.discriminatedUnion('type', [namedTool, allowedTools], { error: choiceForms }),
])

export type WireTool = z.infer<typeof toolSchema>
export type WireToolChoice = z.infer<typeof toolChoiceSchema>

interface ToolFields {
  readonly tools?: readonly WireTool[] | null | undefined
  readonly tool_choice?: WireToolChoice | null | undefined
}

/** Rules between the tools and the choice among them. */
export function checkTools({ tools, tool_choice: choice }: ToolFields, fail: FailField): void {
  const names = new Set<string>()
  for (const [index, tool] of (tools ?? []).entries()) {
    const { name } = tool.function
    if (names.has(name)) return fail(`tools.${index}.function.name`, `names the tool "${name}" a second time`)
    names.add(name)
  }
  if (choice == null || choice === 'none') return
  if (names.size === 0) return fail('tool_choice', 'needs tools')
  const unknown = namesOf(choice).find((name) => !names.has(name))
  if (unknown !== undefined)
    fail('tool_choice', `names "${unknown}", which is none of the tools (${[...names].slice(0, 16).join(', ')})`)
}

/** The model must call a tool. */
export function isForcedChoice(choice: WireToolChoice | null | undefined): boolean {
  if (choice == null || typeof choice === 'string') return choice === 'required'
  return choice.type === 'function' || choice.allowed_tools.mode === 'required'
}

export type FailField = (field: string, message: string) => void

/** The tools that a choice names. */
function namesOf(choice: WireToolChoice): string[] {
  if (typeof choice === 'string') return []
  if (choice.type === 'function') return [choice.function.name]
  return choice.allowed_tools.tools.map((tool) => tool.function.name)
}
