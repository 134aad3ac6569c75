import { tokenizerInfoSchema } from '@octavo/sdk/protocol'
import type { TokenizerInfo } from '@octavo/sdk/protocol'
import type { FastifyInstance } from 'fastify'
import { addEndpoint } from '../endpoint.ts'
import { HttpError } from '../http-error.ts'
import { openaiDialect } from '../openai/dialect.ts'
import type { ServerContext } from '../server-context.ts'

/** GET /tokenizer_info, of the first model; only where the operator wants it: a chat template may be worth a secret. */
export function addTokenizerInfo(app: FastifyInstance, server: ServerContext): void {
  addEndpoint(app, server, {
    methods: ['GET'],
    url: '/tokenizer_info',
    dialect: openaiDialect,
    description: { summary: 'How the tokenizer is configured', tag: 'Tokens', answer: tokenizerInfoSchema },
    handler: async (): Promise<TokenizerInfo> => {
      const { engine } = server
      if (engine.tokenizerConfig === undefined)
        throw new HttpError(501, 'The engine of this server does not say how its tokenizer is configured.')
      const config = await engine.tokenizerConfig()
      const { tokenizer_class: name } = config
      return { ...config, tokenizer_class: typeof name === 'string' ? name : 'PreTrainedTokenizerFast' }
    },
  })
}
