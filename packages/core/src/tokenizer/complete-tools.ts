import { Dict, type Value } from './jinja/values.ts'

/**
 * Tools with a description and parameters that have properties, which OpenAI's clients may leave out; null where there is
 * nothing to add.
 */
export function completeTools(tools: Value | undefined): Value | null {
  if (!Array.isArray(tools)) return null
  const completed = tools.map(completeTool)
  return completed.some((tool, i) => tool !== tools[i]) ? completed : null
}

function completeTool(tool: Value): Value {
  const fn = tool instanceof Dict ? tool.getText('function') : undefined
  if (!(tool instanceof Dict) || !(fn instanceof Dict)) return tool
  const parameters = fn.getText('parameters') ?? new Dict()
  const whole =
    parameters instanceof Dict ? withDefaults(parameters, { type: 'object', properties: new Dict() }) : parameters
  const completed = withDefaults(fn, { description: '' })
  if (completed === fn && whole === fn.getText('parameters')) return tool
  const [copy, inner] = [tool.copy(), completed.copy()]
  inner.setText('parameters', whole)
  copy.setText('function', inner)
  return copy
}

function withDefaults(dict: Dict, defaults: Readonly<Record<string, Value>>): Dict {
  const missing = Object.entries(defaults).filter(([name]) => dict.getText(name) == null)
  if (missing.length === 0) return dict
  const copy = dict.copy()
  for (const [name, value] of missing) copy.setText(name, value)
  return copy
}
