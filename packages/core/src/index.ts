/** The public names of @octavo/core, listed one by one; nothing else is public. */
export { LLM, loadModel } from './engine/llm.ts'
export type { ChatOptions, GenerateOptions, Prompt } from './engine/llm.ts'
export type {
  ClassificationOutput,
  EmbeddingOutput,
  EmbedOptions,
  EncodeOptions,
  PoolingOptions,
  ScoringOutput,
} from './engine/llm-pooling.ts'
export { AsyncEngine } from './engine/async-engine.ts'
export { cosine, labelOf, scoringOf } from './engine/read-vectors.ts'
export type { EngineHooks } from './engine/engine-hooks.ts'
export type { CreateTokenizer } from './engine/front-model.ts'
export type {
  CacheInfo,
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
export type { EngineCoreClient, EngineCoreEvents } from './engine/engine-core-client.ts'
export type { EngineCoreData } from './engine/create-engine-core.ts'
export { addCounters, stepTokenBounds } from './scheduler/scheduler-stats.ts'
export type { DraftStats } from './scheduler/scheduler-stats.ts'
export { RequestMeter } from './engine/request-metrics.ts'
export type { RequestHistogram, RequestMetrics } from './engine/request-metrics.ts'
export type { MeteredRequest, RequestStats } from './engine/request-record.ts'
export type { EngineInfo, RankInfo } from './engine/engine-info.ts'
export type { RestartPolicy } from './engine/supervised-core-client.ts'
export type { WarmupReport } from './engine/warm-up.ts'
export { engineOptionTable } from './config/engine-options.ts'
export type { EngineOptionGroup, EngineOptions } from './config/engine-options.ts'
export { describeType, flagOf, resolveOptions } from './config/option-table.ts'
export type { OptionRow, OptionTable, OptionType, ResolvedOptions } from './config/option-table.ts'
export { foreignOptionRemedy } from './config/foreign-options.ts'
export type { DownloadProgress } from './loading/hub.ts'

export { poolingTasks, resolvePoolingParams, unsupportedTask } from './pooling-params.ts'
export type {
  ModelTask,
  PoolingInfo,
  PoolingLimits,
  PoolingParams,
  PoolingParamsInput,
  PoolingTask,
} from './pooling-params.ts'
export { defaultSamplingParams, resolveSamplingParams } from './sampling-params.ts'
export type { SamplingLimits, SamplingParams, SamplingParamsInput, ThinkingLimit } from './sampling-params.ts'
export type { JsonInput, StructuredOutput } from './structured-output/structured-output.ts'
export type {
  CompletionOutput,
  DecodedLogprob,
  DecodedTokenLogprobs,
  FinishReason,
  Logprob,
  OutputTokenLogprobs,
  RequestOutput,
} from './sequence/outputs.ts'
export { joinMessages } from './chat-format/message-delta.ts'
export type { MessageDelta, ToolCallDelta } from './chat-format/message-delta.ts'
export type { ToolChoice } from './chat-format/tool-choice.ts'
export type { ChatMessage, TextPart, ToolCall, ToolDefinition } from './tokenizer/chat-message.ts'
export { RawJson } from './tokenizer/raw-json.ts'

export {
  BackendUnavailableError,
  ChatTemplateError,
  CheckpointError,
  ContextLengthError,
  EngineDeadError,
  EngineOverloadedError,
  EngineSleepingError,
  HubError,
  InsufficientMemoryError,
  InvalidConfigError,
  InvalidLogitsError,
  InvalidRequestError,
  ModelNotFoundError,
  NoGradientError,
  OctavoError,
  QuantizationError,
  RankFailedError,
  TokenizerError,
  UnsupportedModelError,
  messageWith,
} from './errors.ts'
export type { MessagePart, OctavoErrorCode } from './errors.ts'

export { createBackend, probeBackends } from './backends/backend.ts'
export type { BackendChoice, BackendReport, ChosenBackend } from './backends/backend.ts'
export type {
  BackendOptions,
  BackendPack,
  BackendProbe,
  BackendProvider,
  MachineShare,
  WarmupPolicy,
} from './backends/backend-pack.ts'
export { loadEngineModules } from './engine/load-engine-modules.ts'
export type { EngineModule, EngineModuleKind } from './config/engine-module.ts'
export { tensorflowBackendWith } from './backends/tensorflow/tensorflow-module.ts'
export type { TensorflowOptions } from './backends/tensorflow/tensorflow-pack.ts'
export type { DType, WeightFormat } from './tensor/dtype.ts'
export type { FillWeight, PackedWeight, PackedWeightSpec } from './tensor/packed-weight.ts'
export type { KvDType, KvLayout, KvStorage } from './tensor/kv-storage.ts'

export type { Tokenizer } from './tokenizer/tokenizer.ts'

export { registerGradients } from './tensor/register-gradients.ts'
export { availableMemory } from './util/available-memory.ts'
export { editDistance } from './util/edit-distance.ts'
export { formatBytes } from './util/format-bytes.ts'
export { nearestName } from './util/nearest-name.ts'
export { uniformAt } from './util/random.ts'
export type { HistogramData } from './util/histogram.ts'
export { consoleLogger, silentLogger } from './util/logger.ts'
export type { LogFields, Logger } from './util/logger.ts'
export { TurnQueue } from './util/turn-queue.ts'
export type { TurnClock, TurnOptions } from './util/turn-queue.ts'
