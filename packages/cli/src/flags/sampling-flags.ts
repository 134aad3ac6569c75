import type { SamplingParamsInput } from '@octavo/core'
import type { Command } from 'commander'
import { collect, integer, number } from './parsers.ts'

export interface SamplingFlags {
  readonly maxTokens?: number
  readonly temperature?: number
  readonly topP?: number
  readonly topK?: number
  readonly seed?: number
  readonly stop?: readonly string[]
  readonly system?: string
}

export function addSamplingFlags(command: Command): Command {
  return command
    .option('--max-tokens <count>', 'output tokens at most (up to the context)', integer(1))
    .option('--temperature <number>', '0 = greedy (the model’s default)', number(0, 2))
    .option('--top-p <number>', 'smallest set of tokens with this probability (1)', number(0, 1))
    .option('--top-k <count>', 'most likely tokens to draw from; 0 = all', integer(0))
    .option('--seed <number>', 'same seed, same output', integer(0))
    .option('--stop <text>', 'end before this text; may be repeated', collect)
    .option('--system <text>', 'system message')
}

export function samplingParamsOf({
  maxTokens,
  temperature,
  topP,
  topK,
  seed,
  stop,
}: SamplingFlags): SamplingParamsInput {
  return { maxTokens: maxTokens ?? null, temperature, topP, topK, seed, stop }
}
