import { describe, expect, expectTypeOf, it } from 'vitest'
import { InvalidRequestError } from './errors.ts'
import {
  type CreateDraftProposer,
  type CreateExecutor,
  type CreateLogitsProcessors,
  type CreateSampler,
  type CreateSchedulingPolicy,
  createScheduler,
  type DraftProposer,
  type EngineCoreClient,
  EngineCore,
  type EngineInfo,
  type Executor,
  type FcfsQueue,
  fromTransferredError,
  initializeWorkers,
  type InlineCoreClient,
  type InlineExecutor,
  type LogitsProcessor,
  type ModelRunnerOutput,
  type ModelWorker,
  type RequestQueue,
  type Sampler,
  type Scheduler,
  type SchedulerOutput,
  type SchedulingPolicy,
  type SortedQueue,
  type SupervisedCoreClient,
  type ThreadCoreClient,
  type TokenSampler,
  toTransferredError,
  type TransferredError,
  type Worker,
} from './engine-api.ts'

describe('@octavo/core/engine', () => {
  it('has the types of executors and workers', () => {
    expectTypeOf<InlineExecutor>().toExtend<Executor>()
    expectTypeOf<ModelWorker>().toExtend<Worker>()
    expectTypeOf<ReturnType<CreateExecutor>>().toEqualTypeOf<Executor>()
    expectTypeOf<Executor['executeModel']>().toEqualTypeOf<(plan: SchedulerOutput) => Promise<ModelRunnerOutput>>()
    expectTypeOf(initializeWorkers).returns.toEqualTypeOf<Promise<EngineInfo>>()
    expectTypeOf(EngineCore).constructorParameters.toEqualTypeOf<[Scheduler, Executor]>()
    expectTypeOf(createScheduler).returns.toEqualTypeOf<Scheduler>()
  })

  it('has the types of policies and samplers', () => {
    expectTypeOf<ReturnType<CreateSchedulingPolicy>>().toEqualTypeOf<SchedulingPolicy>()
    expectTypeOf<ReturnType<CreateDraftProposer>>().toEqualTypeOf<DraftProposer>()
    expectTypeOf<FcfsQueue>().toExtend<RequestQueue>()
    expectTypeOf<SortedQueue>().toExtend<RequestQueue>()
    expectTypeOf<ReturnType<CreateSampler>>().toEqualTypeOf<Sampler>()
    expectTypeOf<ReturnType<CreateLogitsProcessors>>().toEqualTypeOf<readonly LogitsProcessor[]>()
    expectTypeOf<TokenSampler>().toExtend<Sampler>()
  })

  it('has the types of clients of a core', () => {
    expectTypeOf<InlineCoreClient>().toExtend<EngineCoreClient>()
    expectTypeOf<SupervisedCoreClient>().toExtend<EngineCoreClient>()
    expectTypeOf<ThreadCoreClient>().toExtend<EngineCoreClient>()
    expectTypeOf(toTransferredError).returns.toEqualTypeOf<TransferredError>()
  })

  it('gives errors their class back after a transport', () => {
    const sent = JSON.stringify(toTransferredError(new InvalidRequestError('too long', 'prompt')))
    const error = fromTransferredError(JSON.parse(sent) as TransferredError)
    expect(error).toBeInstanceOf(InvalidRequestError)
    expect(error).toMatchObject({ code: 'invalid_request', param: 'prompt', message: 'too long' })
  })
})
