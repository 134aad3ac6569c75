/** The engine below `AsyncEngine`, in parts: what a core, an executor, a worker, a policy or a sampler is: `@octavo/core/engine`. */
export { resolveEngineConfig } from './config/engine-config.ts'
export type { EngineConfig } from './config/engine-config.ts'
export type { EngineModule, EngineModuleKind } from './config/engine-module.ts'
export { checkParallelSizes } from './config/parallel-sizes.ts'
export type { ParallelSizes } from './config/parallel-sizes.ts'
export { loadEngineModules } from './engine/load-engine-modules.ts'
export type { LoadedModules } from './engine/load-engine-modules.ts'

// The core: what is computed next.
export { createEngineCore } from './engine/create-engine-core.ts'
export type { EngineCoreData } from './engine/create-engine-core.ts'
export { createScheduler } from './engine/create-scheduler.ts'
export type {
  CreateDraftProposer,
  CreateSchedulerOptions,
  CreateSchedulingPolicy,
  DraftProposerContext,
  ExecutorLimits,
  SchedulingPolicyContext,
} from './engine/create-scheduler.ts'
export { EngineCore } from './engine/engine-core.ts'
export type { StepResult } from './engine/engine-core.ts'
export type { EngineInfo, RankInfo } from './engine/engine-info.ts'
export { locateModel } from './engine/front-model.ts'
export type {
  EngineClient,
  EngineMetrics,
  EngineTelemetry,
  GenerateRequest,
  OutputKind,
  PoolingOutput,
  PoolingRequest,
  PromptInput,
  RenderedRequest,
  ServedModel,
  SleepOptions,
  TokenizedPrompt,
  TokenizeRequest,
} from './engine/engine-client.ts'
export { noMetrics } from './engine/engine-core-client.ts'
export type { EngineCoreClient, EngineCoreEvents } from './engine/engine-core-client.ts'
export { InlineCoreClient } from './engine/inline-core-client.ts'
export { defaultRestartPolicy, SupervisedCoreClient } from './engine/supervised-core-client.ts'
export type { RestartPolicy, SupervisedCoreClientOptions } from './engine/supervised-core-client.ts'
export { ThreadCoreClient } from './engine/thread-core-client.ts'

export type { DraftProposer } from './scheduler/draft-proposer.ts'
export { FcfsQueue, SortedQueue } from './scheduler/request-queue.ts'
export type { RequestQueue } from './scheduler/request-queue.ts'
export { Scheduler } from './scheduler/scheduler.ts'
export type { SchedulerConfig, SchedulerConfigInput } from './scheduler/scheduler-config.ts'
export type {
  BlockCopy,
  CachedSequenceData,
  ModelRunnerOutput,
  NewSequenceData,
  PromptLogprobs,
  SampledTokens,
  ScheduledTokens,
  SchedulerOutput,
  SequenceFailure,
} from './scheduler/scheduler-output.ts'
export { comparePriority } from './scheduler/scheduling-policy.ts'
export type { SchedulingPolicy, SchedulingPolicyName } from './scheduler/scheduling-policy.ts'
export { stepTokenBounds } from './scheduler/scheduler-stats.ts'
export type { DraftStats, SchedulerStats } from './scheduler/scheduler-stats.ts'
export type { SequenceUpdate } from './scheduler/sequence-update.ts'
export type { Sequence, SequenceRequest, SequenceTimes } from './sequence/sequence.ts'
export type { GrammarSpec } from './structured-output/grammar-spec.ts'
export type { FinishReason, Logprob, RequestOutput, TokenLogprobs } from './sequence/outputs.ts'
export { packLogprobs, unpackLogprobs } from './sequence/packed-logprobs.ts'
export type { PackedLogprobs } from './sequence/packed-logprobs.ts'

// The executor and its ranks: where it is computed.
export type { CreateExecutor, Executor, ExecutorContext } from './engine/executor.ts'
export { initializeWorkers } from './engine/initialize-workers.ts'
export { InlineExecutor } from './engine/inline-executor.ts'
export type { InlineExecutorOptions } from './engine/inline-executor.ts'
export { InputBatch } from './engine/input-batch.ts'
export type { BatchEntry, BatchInputs, InputBatchOptions, SequenceRow } from './engine/input-batch.ts'
export { ModelRunner } from './engine/model-runner.ts'
export type { ModelRunnerOptions } from './engine/model-runner.ts'
export { ModelWorker } from './engine/model-worker.ts'
export type { ModelWorkerOptions } from './engine/model-worker.ts'
export type { LoadedModel, Worker } from './engine/worker.ts'
export type {
  CreateLogitsProcessors,
  CreateSampler,
  LogitsProcessorsContext,
  SamplerContext,
  WorkerModules,
} from './engine/worker-modules.ts'
export type { WarmupReport } from './engine/warm-up.ts'
export { wholeMachine } from './backends/backend-pack.ts'
export type { MachineShare } from './backends/backend-pack.ts'
export { singleRank } from './layers/communicator.ts'
export type { Communicator } from './layers/communicator.ts'
export type { ExpertBalanceReport } from './layers/expert-balance.ts'

// The sampling step of a runner.
export { drawToken, nextTokenProbs } from './sampling/draw-token.ts'
export { Logits } from './sampling/logits.ts'
export type { LogitsProcessor } from './sampling/logits-processor.ts'
export { computeLogprobs } from './sampling/logprobs.ts'
export { TokenSampler } from './sampling/sampler.ts'
export type { Sampler, SamplerResult, SamplerRow } from './sampling/sampler.ts'
export { createSamplingState, describeDraw } from './sampling/sampling-state.ts'
export type { SamplingState, SamplingStateOptions } from './sampling/sampling-state.ts'
export type { NoToken, TokenDraw } from './ops/sample.ts'
export type { PoolingParams } from './pooling-params.ts'
export type { SamplingParams } from './sampling-params.ts'

export { assert } from './util/assert.ts'
export { waitAtMost } from './util/wait-at-most.ts'

// Errors keep class, code and fields over any transport that carries plain data.
export { fromTransferredError, toTransferredError } from './error-transfer.ts'
export type { TransferredError } from './error-transfer.ts'
