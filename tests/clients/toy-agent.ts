import { Agent, tool } from '@openai/agents'
import type { ModelSettings } from '@openai/agents'
import { toyTools } from './toy-world.ts'

const { get_weather: weather, set_timer: timer } = toyTools

export const agentTools = [
  tool({ name: 'get_weather', description: weather.description, parameters: weather.input, execute: weather.execute }),
  tool({ name: 'set_timer', description: timer.description, parameters: timer.input, execute: timer.execute }),
]

export const agentSettings = (more: ModelSettings = {}): ModelSettings => ({ temperature: 0, maxTokens: 200, ...more })

export const createToyAgent = (more: ModelSettings = {}) =>
  new Agent({
    name: 'Assistant',
    instructions: 'You are a helpful assistant.',
    tools: agentTools,
    modelSettings: agentSettings(more),
  })

/** The calls of a run, in order. */
export const callsOf = (result: { newItems: readonly { rawItem?: unknown }[] }) =>
  result.newItems.flatMap(({ rawItem }) => {
    const item = rawItem as { type?: string; name?: string; arguments?: string }
    return item.type === 'function_call'
      ? [{ name: item.name, input: JSON.parse(item.arguments ?? '') as unknown }]
      : []
  })
