/** What an operator asks of an engine core, between its steps. The KV cache goes and comes back while no sequence is held. */
export type CoreCommand = 'resetPrefixCache' | 'releaseKvCache' | 'restoreKvCache'
