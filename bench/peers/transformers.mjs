// @huggingface/transformers over onnxruntime-node as a bench's engine (src/bench-engine.ts).
import { createRequire } from 'node:module'
import { AutoModelForCausalLM, env, Tensor } from '@huggingface/transformers'

const { version } = createRequire(import.meta.url)('./node_modules/@huggingface/transformers/package.json')

/** @param modelPath a folder as src/onnx-model.ts writes it */
export async function createEngine({ modelPath, threads }) {
  env.allowRemoteModels = false
  const model = await AutoModelForCausalLM.from_pretrained(modelPath, {
    local_files_only: true,
    dtype: 'fp32', // of the file's name; the weights in it are blocks of 8 or 4 bits
    device: 'cpu',
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  })

  const ofNumbers = (values, dims) => new Tensor('int64', BigInt64Array.from(values, BigInt), dims)

  return {
    description: `@huggingface/transformers ${version}`,
    prepare: async () => {},
    generateAll: async (prompts, numTokens, onTokens) => {
      const dims = [prompts.length, prompts[0].length]
      let isPrompt = true
      await model.generate({
        inputs: ofNumbers(prompts.flat(), dims),
        attention_mask: ofNumbers(new Array(dims[0] * dims[1]).fill(1), dims),
        max_new_tokens: numTokens,
        do_sample: false,
        eos_token_id: null,
        streamer: {
          put: () => {
            if (!isPrompt) for (let i = 0; i < dims[0]; i++) onTokens(i, 1)
            isPrompt = false
          },
          end: () => {},
        },
      })
    },
    // One call of generate holds the session until its last token: no batching across requests.
    generate: null,
    shutdown: () => model.dispose(),
  }
}
