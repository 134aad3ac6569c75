// docs/endpoints.md: the fields come from the schemas that the server parses with.
import { chatCompletionRequestSchema } from '../../packages/sdk/src/protocol/chat-completion-request.ts'
import { completionRequestSchema } from '../../packages/sdk/src/protocol/completion-request.ts'
import { generationOptionShape } from '../../packages/sdk/src/protocol/generation-options.ts'
import { jsonLimits, partNames } from '../../packages/server/src/json-limits.ts'

/** Values that the schemas check by code, and what a reader would not guess. */
const notes = {
  model: 'absent: the first that is served',
  max_tokens: 'for completions 16 where absent; what the context has no room for is a 400',
  max_completion_tokens: 'goes before `max_tokens`; absent: up to the end of the context',
  messages: 'roles, texts and parts of type text; `tool_calls`, `tool_call_id` and `reasoning` go to the chat template',
  prompt: 'a text, token ids, or up to 2048 of one of the two',
  n: 'samples; together with several prompts at most 16384',
  top_k: '0 or -1: off',
  seed: 'an integer of 64 bits',
  stop: 'a text, or up to 64',
  stop_token_ids: 'token ids',
  allowed_token_ids: 'token ids; nothing else is drawn',
  logit_bias: 'token id → -100 to 100',
  logprobs: 'a count for completions, -1: the whole vocabulary, up to `--max-logprobs`; true or false for chat',
  top_logprobs: 'with `logprobs: true`; -1: the whole vocabulary; up to `--max-logprobs`',
  prompt_logprobs: 'not with `stream`; -1: the whole vocabulary',
  truncate_prompt_tokens: 'tokens of the prompt to keep; -1: as many as the context holds',
  cache_salt: 'prefix-cache entries are shared between equal salts only',
  priority: 'under `--scheduling-policy priority`; lower runs earlier',
  request_id: 'the header X-Request-Id goes before it',
  stream_options: '`include_usage`, `continuous_usage_stats`',
  response_format: '`text`, `json_object`, `json_schema`, `structural_tag`: what the content must be',
  structured_outputs:
    'one of `json`, `regex`, `choice`, `grammar`, `json_object`, `structural_tag`; not with a `response_format`',
  tools:
    'functions with names of their own, 1 to 128 letters, digits, `_`, `.`, `:`, `/` or `-`; empty is as good as absent',
  tool_choice:
    '`none`, `auto` (the default with tools), `required`, a function, or `allowed_tools`; all but `none` need tools',
  parallel_tool_calls:
    'false: the first call alone; no other is made where calls are held by a grammar (`required`, a function, `strict` tools)',
  reasoning_effort: 'for the template, with `enable_thinking`, which is false for `none` alone',
  thinking_token_budget: 'tokens of thinking, after which its end is forced; -1: no limit',
  include_reasoning: 'false leaves the reasoning out of the answer',
  include_reasoning_content: "true says `reasoning` under its older name `reasoning_content` too; Octavo's own",
  chat_template: 'under `--trust-request-chat-template` alone',
  continue_final_message: 'not with `add_generation_prompt: true`',
  modalities: '`["text"]` alone',
}

const endpoints = [
  ['POST /v1/chat/completions', "OpenAI's, with vLLM's extra fields; streams with `stream: true`"],
  ['POST /v1/completions', 'the same for a text to continue'],
  [
    'POST /v1/responses',
    'items, conversations that are kept, responses in the background, with [fields of its own](responses.md)',
  ],
  ['GET, DELETE /v1/responses/ID', 'one that is kept'],
  ['POST /v1/responses/ID/cancel', 'ends one that is made in the background'],
  ['GET /v1/responses/ID/input_items', 'what it was given'],
  ['POST /v1/messages', "Anthropic's: [what its fields mean here](anthropic.md)"],
  ['POST /v1/messages/count_tokens', 'how many tokens the prompt of a message has'],
  [
    'POST /v1/embeddings',
    "an embedding of each input: OpenAI's, with vLLM's extra fields ([below](#vectors-classes-scores))",
  ],
  ['POST /score, /v1/score', 'how well texts go with each other, or with one'],
  [
    'POST /rerank, /v1/rerank, /v2/rerank',
    "documents in the order in which they go with a query: Jina's and Cohere's, as vLLM answers",
  ],
  ['POST /classify', 'the class of each input'],
  ['POST /pooling', 'what the model makes of each input, for the whole of it or for each of its tokens'],
  ['POST /tokenize, /detokenize', 'token ids of a text or a conversation, and the text of token ids'],
  [
    'GET /tokenizer_info',
    "the tokenizer's configuration and the chat template, with `--enable-tokenizer-info-endpoint` alone",
  ],
  [
    'POST /v1/chat/completions/render, /v1/completions/render',
    'token ids and sampling parameters of a request, of which nothing runs: for routers',
  ],
  ['GET, POST /v1/files', 'files of requests: [batches](batches.md)'],
  ['GET, DELETE /v1/files/ID', 'one of them'],
  ['GET /v1/files/ID/content', 'what it holds'],
  ['GET, POST /v1/batches', 'requests of a file, answered behind those who wait'],
  ['GET /v1/batches/ID', 'how far one is'],
  ['POST /v1/batches/ID/cancel', 'its early end'],
  ['GET /v1/models', 'the models by the names under which they are served'],
  ['GET /v1/models/NAME', 'one of them; names may hold slashes'],
  [
    'GET /health',
    '200 and no body while the engine can serve; 503 while it is started again, has failed, does not go on, or the server drains',
  ],
  [
    'GET /ready',
    'the same, and 503 as soon as the server knows that it will end, though it still takes requests for a while: for who routes',
  ],
  ['GET, POST /ping', 'as /health, as SageMaker asks'],
  [
    'POST /invocations',
    'where SageMaker sends everything: the fields of the body, and what the model does, say which endpoint is meant',
  ],
  ['GET /metrics', "for Prometheus, under vLLM's names: [operations.md](operations.md)"],
  ['GET /version', '`{ "version": … }`'],
  ['GET /load', '`{ "server_load": … }`: requests to models that are not answered to their end'],
  [
    'GET /openapi.json, /docs',
    'all of this for programs (OpenAPI 3.1) and for people, made of the schemas that requests are parsed by',
  ],
  ['POST /sleep, /wake_up, GET /is_sleeping', 'for operators ([below](#sleep)), with the key of `--admin-api-key`'],
  [
    'POST /reset_prefix_cache',
    'likewise: nothing that was computed so far is found again; requests that run keep what they have',
  ],
]

const answers = `## Tools, reasoning, structured output

How a model writes calls and marks its thinking is found in its chat template, and said when the server starts; there is nothing to choose.

- \`message.tool_calls\` has the calls, \`message.content\` the rest, \`null\` where there is none; the finish reason is \`tool_calls\`, or \`stop\` for a function that the request
  named. In a stream, id, type and name come with the first piece of a call, and the arguments in pieces that concatenate to those of the whole answer. At the length
  limit the arguments end where the model was, with \`length\`. Tools are a 400 where the template has no place for them; \`none\` leaves them out of the prompt.
- \`message.reasoning\` has what the model thought, as \`delta.reasoning\` does in a stream.
- \`required\`, a function, \`strict\` tools and what \`response_format\` or \`structured_outputs\` say are held by a grammar that begins after the thinking. A schema, regular
  expression or grammar that cannot be held is a 400 that says where and why, before any event of a stream. With tools and \`auto\`, an answer is of the format or is a
  call; where a call must be made, the format has nothing to hold.
- Stop strings are looked for in the text that the model writes, calls and thinking included; logprobs and token ids are those of all its tokens.`

const vectors = `## Vectors, classes, scores

What a model does beside generating, or in its place, is in [pooling.md](pooling.md). A model that does not do what is asked is a 400 that says what it does, and where to ask for it.
All of these have \`model\`, \`priority\`, \`cache_salt\`, \`request_id\`, \`truncate_prompt_tokens\`, \`truncation_side\` and \`use_activation\` (length 1, or probabilities; absent: as the
model was made for). What a body asks for is computed in the same batches as everything else, up to 256 of its prompts at once.

| field | of | |
|---|---|---|
| \`input\` | embeddings, classify, pooling | a text, token ids, or up to 2048 of one of the two; with \`add_special_tokens\` (default true) |
| \`messages\` | the same, in place of \`input\` | a conversation, with the fields that it has in chat; no generation prompt unless \`add_generation_prompt\` says so |
| \`dimensions\` | embeddings, pooling | numbers of an embedding to keep, where the model was made for it |
| \`encoding_format\` | embeddings, pooling | \`float\`, \`base64\`, \`bytes_only\` (the vectors one behind the other), \`bytes\` (also with a header \`metadata\`, up to 12 KiB, that says whose they are) |
| \`embed_dtype\`, \`endianness\` | of bytes and base64 | \`float32\`, \`float16\`, \`bfloat16\`; \`native\` (little), \`little\`, \`big\` |
| \`task\` | pooling | \`embed\`, \`classify\`, \`token_embed\`, \`token_classify\`; absent: the first that the model does |
| \`text_1\`, \`text_2\` | score | a text or up to 2048; also as \`queries\` and \`documents\`, \`queries\` and \`items\`, \`data_1\` and \`data_2\`; as many on both sides, or one on the first |
| \`query\`, \`documents\` | rerank | texts, documents as \`{"text": …}\` too; \`top_n\` (0: all), \`return_documents\` (default true) |

Scores are those of a model with one class, which reads both texts as one prompt, or else cosines of embeddings. \`normalize\`, \`padding\`, \`max_tokens_per_doc\`, \`rank_fields\` and 8-bit floats are a 400.

## Sleep

\`POST /sleep?level=1&mode=abort\` returns when the engine sleeps; \`/health\` is 200 meanwhile. Sleeping again goes deeper, never back.

| \`level\` | |
|---|---|
| 0 | nothing runs |
| 1 (default) | the KV cache's memory is given back too, and with it the prefix cache; where the backend is \`wasm\`, whose memory never shrinks, it stays with the process |
| 2 | all memory is: the engine ends, and loads the model again on waking |

With \`mode=abort\` (default) running requests end with \`abort\`, and new ones are a 503; with \`wait\` running ones are waited for, and new ones wait. Should waking fail, as for want of memory, it is
still asleep, and may be tried again. \`tags\` of /wake_up, \`reset_external\` and \`reset_running_requests\` are a 400.

## Tokens

\`/tokenize\` takes \`prompt\` or \`messages\` (with \`tools\` and what else a conversation has in chat) and \`return_token_strs\`; a text may be longer than the context, up to a million characters or 32 a
position. \`/render\` refuses all that its endpoint refuses; \`sampling_params\` has the defaults filled in, \`seed\` is \`null\` where the engine would draw one, and what tools alone would hold the output
to is not in \`structured_outputs\`.`

const sections = `${answers}\n\n${vectors}`

export function endpointsPage(origin) {
  const fields = requestFields()
  const kinds = Map.groupBy(fields, ({ schema }) => refusalOf(schema).kind)
  return `${origin}

# Endpoints and parameters

| endpoint | |
|---|---|
${endpoints.map(([endpoint, text]) => `| \`${endpoint}\` | ${text} |`).join('\n')}

All answer with or without a slash at the end. All but /health, /ready, /ping and /version ask for a key where the server has some (\`Authorization: Bearer …\` or \`x-api-key: …\`), those
for operators for the admin key in any case: without one they are a 403. A key at one of its limits gets a 429, a server that is full answers with 503, both with \`Retry-After\`
and, by the millisecond, \`Retry-After-Ms\` ([operations.md](operations.md)). A wrong method is a 405 with
\`Allow\`, an unknown path a 404 that names the nearest endpoint, a body that is no JSON object a 400, one that is compressed a 415, one beyond 32 MiB a 413.
Errors are \`{ "error": { "message", "type", "param", "code" } }\`, in streams as an event. Every answer has \`X-Request-Id\`.

A field does what its name says, or is refused: none that would change the answer is parsed and ignored. Meanings are OpenAI's, and vLLM's for its extra fields. \`null\`
is the same as leaving a field out, which leaves it to the model's generation_config.json. Fields that neither of the two knows are dropped, as both do.

## Limits

No request holds up the others: what comes in is scanned, parsed, rendered and tokenized in turns of about 10 ms, first come, first served, requests in turn, and large
answers are written in turns, too. A client that reads slowly slows nobody: what it has not read waits as one output, no longer than its request, and streams with
many logprobs come in parts.

An answer without \`stream\` has a \`Content-Length\` up to about 1 MiB; a larger one goes out in chunks while it is written, choice by choice, as fast as the client
reads, and is written no further once the client has gone. The 200 has then been sent: a failure after it, and the server's end, break the connection in the
middle of the body, so that what looks complete is complete. There is no bound on \`n\` × tokens × logprobs besides those of each: until they are written, logprobs
wait packed (8 bytes a number, three numbers an entry), and those of an echoed prompt once for all choices.

What cannot be done in parts has a limit:

| what | limit | beyond it |
|---|---|---|
| a body | 32 MiB (\`--max-body-bytes\`, \`bodyLimit\` of the plugin) | 413 |
| headers | 16 KiB (\`--max-header-bytes\`) | 431 |
| its parts | ${Object.entries(jsonLimits)
    .map(([name, max]) => `${max.toLocaleString('en-US')} ${partNames[name]}`)
    .join('; ')} | 400 |
| a conversation's text after the template | 8,388,608 characters | 400 |
| a prompt | the context, or \`truncate_prompt_tokens\`; of a text that is far too long only a beginning is tokenized | 400 |
| \`stop\` | 64 texts of 4,096 characters | 400 |
| \`bad_words\` | 1,024 entries, 65,536 characters together; for all prompts of a request together 65,536 entries | 400 |

${sections}

## Supported

| field | of | value | |
|---|---|---|---|
${kinds.get('supported').map(supportedRow).join('\n')}

## Accepted with one value

That asks for nothing; any other is a 400 that says so.

| field | of | value |
|---|---|---|
${kinds
  .get('neutral')
  .map(({ name, where, schema }) => `| \`${name}\` | ${where} | \`${refusalOf(schema).neutral}\` |`)
  .join('\n')}

## Refused

With a 400 that names the field, unless it is \`null\`: ${kinds
    .get('refused')
    .map(({ name }) => `\`${name}\``)
    .join(', ')}.

Fields that vLLM had once, with a 400 that says what took their place:

${kinds
  .get('removed')
  .map(({ name, schema }) => `- \`${name}\`: ${refusalOf(schema).remedy}`)
  .join('\n')}
`
}

/** The fields of both requests; one that only one of the two supports is that one's. */
function requestFields() {
  const chat = chatCompletionRequestSchema.shape
  const completion = completionRequestSchema.shape
  const names = [...new Set([...Object.keys(completion), ...Object.keys(chat)])]
  const supports = (shape, name) => name in shape && refusalOf(shape[name]).kind === 'supported'
  return names.map((name) => {
    const isBoth = name in chat && name in completion && supports(chat, name) === supports(completion, name)
    const isChat = supports(chat, name) || !(name in completion)
    const schema = isBoth || !isChat ? completion[name] : chat[name]
    return { name, schema, where: isBoth || name in generationOptionShape ? '' : isChat ? 'chat' : 'completions' }
  })
}

/** What the schema says of a value that nobody sends. */
function refusalOf(schema) {
  const { error } = schema.safeParse({ 'docs/endpoints.md': true })
  const message = error?.issues[0]?.message ?? ''
  const [, neutral] = /^is .* or pass (.*)$/.exec(message) ?? []
  if (neutral !== undefined) return { kind: 'neutral', neutral }
  const [, remedy] = /^is not supported any more; (.*)$/.exec(message) ?? []
  if (remedy !== undefined) return { kind: 'removed', remedy }
  return { kind: message.startsWith('is not supported yet') ? 'refused' : 'supported' }
}

function supportedRow({ name, where, schema }) {
  return `| \`${name}\` | ${where} | ${valueOf(schema)} | ${notes[name] ?? ''} |`
}

const nouns = {
  integer: 'an integer',
  number: 'a number',
  boolean: 'true or false',
  string: 'a text',
  array: 'a list',
  object: 'an object',
}

function valueOf(schema) {
  const json = schema.toJSONSchema({ unrepresentable: 'any', io: 'input' })
  const option = (json.anyOf ?? [json]).find(({ type }) => type !== 'null')
  if (option.enum !== undefined) return listed(option.enum.filter((value) => value !== null))
  const { minimum, exclusiveMinimum, maximum } = option
  const type = [option.type].flat().find((name) => name !== 'null')
  const low = minimum > Number.MIN_SAFE_INTEGER ? `from ${minimum}` : ''
  const above = exclusiveMinimum === undefined ? low : `above ${exclusiveMinimum}`
  const high = maximum < Number.MAX_SAFE_INTEGER ? `to ${maximum}` : ''
  return [nouns[type] ?? '', above, high].filter((part) => part !== '').join(' ')
}

function listed(values) {
  return values.map((value) => `\`${value}\``).join(', ')
}
