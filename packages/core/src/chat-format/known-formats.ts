import type { KnownFormat } from './known-format.ts'
import { deepseekCalls } from './overrides/deepseek.ts'
import { granite } from './overrides/granite.ts'
import { harmony } from './overrides/harmony.ts'
import { hermes } from './overrides/hermes.ts'
import { kimi } from './overrides/kimi.ts'
import { lfm2, llama4 } from './overrides/pythonic.ts'

/** Formats whose templates show something else than what the model writes. */
export const ownFormats: readonly KnownFormat[] = [harmony, llama4]

/** Formats of templates that tell the model how to call, and do not write calls back, or fail at it. */
export const fallbackFormats: readonly KnownFormat[] = [lfm2, kimi, deepseekCalls, granite, hermes]
