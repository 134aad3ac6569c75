import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { AsyncEngine } from '@octavo/core'
import { createApp, createModelRouter, listen } from '@octavo/server'

const models = ['bert-embed', 'qwen3-embedding', 'bert-reranker', 'qwen3-seqcls'] as const

export type PoolingModel = (typeof models)[number]

/** Tiny models that embed, classify and score, each an engine, behind one address, in this process. */
export interface PoolingServer extends AsyncDisposable {
  /** Without /v1. */
  readonly url: string
}

/** @param chatTemplate what makes a text of a conversation; the models have none of their own */
export async function startPoolingServer({
  chatTemplate,
}: { readonly chatTemplate?: string } = {}): Promise<PoolingServer> {
  const engines = await Promise.all(
    models.map(async (name) => {
      const options = { model: folderOf(name), backend: 'cpu', ...(chatTemplate !== undefined && { chatTemplate }) }
      return [name, await AsyncEngine.create(options)] as const
    }),
  )
  const engine = createModelRouter(Object.fromEntries(engines))
  const server = await listen(createApp({ engine, version: 'test' }), { host: '127.0.0.1', port: 0 })
  return {
    url: server.url,
    async [Symbol.asyncDispose]() {
      await server.close()
      await engine.shutdown()
    },
  }
}

/** What transformers computed of them. */
export function goldenOf<Golden>(name: PoolingModel): Golden {
  return JSON.parse(readFileSync(`${folderOf(name)}/golden.json`, 'utf8')) as Golden
}

function folderOf(name: PoolingModel): string {
  return fileURLToPath(new URL(`../../fixtures/models/${name}`, import.meta.url))
}
