import type { ModelRunnerOutput, SchedulerOutput } from '@octavo/core/engine'
import { memory, setBackend, tensor2d, type Tensor2D } from '@tensorflow/tfjs-core'
import { createBackend } from '@octavo/core'
import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { PipelineStage, type PipelineStageOptions } from './pipeline-stage.ts'
import { MemoryChannel } from './stages-executor.case.ts'

const output: ModelRunnerOutput = { sampled: [], promptLogprobs: [], failed: [] }

/** Adds 1 to what it gets, and starts from 0; a batch is filled up to an even number of tokens. */
class AddingWorker implements Pick<PipelineStageOptions['worker'], 'execute' | 'executeStage' | 'hiddenShape'> {
  readonly plans: SchedulerOutput[] = []
  last: number[] | null = null

  hiddenShape({ numTokens }: SchedulerOutput): [number, number] {
    return [numTokens + (numTokens % 2), 2]
  }

  executeStage(plan: SchedulerOutput, input: Tensor2D | null = null): Tensor2D | null {
    this.plans.push(plan)
    if (plan.numTokens === 0) return null
    const [rows, width] = this.hiddenShape(plan)
    const values = input === null ? new Float32Array(rows * width) : input.dataSync<'float32'>()
    return tensor2d(
      Float32Array.from(values, (value) => value + 1),
      [rows, width],
    )
  }

  execute(plan: SchedulerOutput, input: Tensor2D | null = null): ModelRunnerOutput {
    const hidden = this.executeStage(plan, input)
    this.last = hidden && [...hidden.dataSync<'float32'>()]
    hidden?.dispose()
    return output
  }
}

function planOf(numTokens: number): SchedulerOutput {
  const scheduled = numTokens === 0 ? [] : [{ id: 'a', numTokens }]
  return { newSequences: [], cachedSequences: [], scheduled, numTokens, blockCopies: [], droppedIds: ['gone'] }
}

function setup(numStages: number, isDrawing = true) {
  const channel = new MemoryChannel(numStages)
  const workers = channel.groups.map(() => new AddingWorker())
  const stages = channel.groups.map((group, i) => new PipelineStage({ worker: workers[i]!, group, isDrawing }))
  return { channel, workers, stages }
}

describe('PipelineStage', () => {
  let numTensors = 0
  beforeAll(async () => {
    await createBackend('cpu')
    await setBackend('cpu')
  })
  beforeEach(() => void ({ numTensors } = memory()))

  it('passes hidden states on to the next, and answers at the last', () => {
    const { channel, workers, stages } = setup(3)
    const plans = [planOf(3), planOf(2)]
    // The first stage is ahead of the second.
    for (const plan of plans) expect(stages[0]!.execute(plan)).toBeNull()
    for (const plan of plans) {
      expect(stages[1]!.execute(plan)).toBeNull()
      expect(stages[2]!.execute(plan)).toBe(output)
      expect(workers[2]!.last).toEqual(new Array(plan.numTokens === 3 ? 8 : 4).fill(3))
    }
    expect([channel.numWaiting, memory().numTensors]).toEqual([0, numTensors])
  })

  it('sends nothing for a plan without tokens, which every rank gets all the same', () => {
    const { channel, workers, stages } = setup(2)
    const plan = planOf(0)
    expect(stages.map((stage) => stage.execute(plan))).toEqual([null, output])
    expect(workers.map(({ plans }) => plans)).toEqual([[plan], [plan]])
    expect(channel.numWaiting).toBe(0)
  })

  it('is the whole model where it is the only one', () => {
    const { workers, stages } = setup(1)
    expect(stages[0]!.execute(planOf(2))).toBe(output)
    expect(workers[0]!.last).toEqual([1, 1, 1, 1])
  })

  it('computes with those that draw, and answers nothing', () => {
    const { workers, stages } = setup(2, false)
    expect(stages.map((stage) => stage.execute(planOf(2)))).toEqual([null, null])
    expect(workers[1]!.last).toEqual([2, 2, 2, 2])
  })

  it('frees what it holds when its worker or the next stage is gone', () => {
    const { stages, workers } = setup(3)
    stages[0]!.execute(planOf(2))
    workers[1]!.executeStage = () => {
      throw new Error('out of memory')
    }
    expect(() => stages[1]!.execute(planOf(2))).toThrow('out of memory')
    const send = (): never => {
      throw new Error('the group is gone')
    }
    const group = { rank: 0, size: 2, send, recv: () => {} }
    const stage = new PipelineStage({ worker: new AddingWorker(), group, isDrawing: true })
    expect(() => stage.execute(planOf(2))).toThrow('the group is gone')
    expect(memory().numTensors).toBe(numTensors)
  })
})
