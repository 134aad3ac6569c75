import { defaultSamplingParams, type SamplingParams } from '../sampling-params.ts'
import type { SequenceRequest } from './sequence.ts'

export interface TestRequestOptions extends Partial<Omit<SequenceRequest, 'params'>> {
  readonly params?: Partial<SamplingParams>
}

/** A request for tests: 10 prompt tokens unless told otherwise, token 2 ends a sequence. */
export function testRequest(id: string, options: TestRequestOptions = {}): SequenceRequest {
  const { params, ...rest } = options
  return {
    id,
    promptTokenIds: tokenRange(0, 10),
    eosTokenIds: [2],
    priority: 0,
    arrivalTime: 0,
    cacheSalt: null,
    forkOf: null,
    ...rest,
    params: { ...defaultSamplingParams, ...params },
  }
}

/** `count` different token ids from `1000 * group` on; equal groups are equal prefixes. */
export function tokenRange(group: number, count: number): number[] {
  return Array.from({ length: count }, (_, i) => 1000 * (group + 1) + i)
}
