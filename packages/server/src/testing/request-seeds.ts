import type { RequestSeed } from './mutate-request.ts'

const parameters = {
  type: 'object',
  properties: { city: { type: 'string', maxLength: 9 }, day: { enum: ['today', 1, null] } },
  required: ['city'],
  additionalProperties: false,
}
const tool = { type: 'function', function: { name: 'get_weather', description: 'd', parameters, strict: true } }
const named = { type: 'function', function: { name: 'get_weather' } }
const messages = [
  { role: 'user', content: 'What is the weather in Oslo?' },
  {
    role: 'assistant',
    content: null,
    tool_calls: [{ id: 'a', type: 'function', function: { name: 'f', arguments: '{}' } }],
  },
  { role: 'tool', tool_call_id: 'a', content: '{"a": 1}' },
]
const tag = {
  type: 'structural_tag',
  format: { type: 'tag', begin: '<a>', content: { type: 'json_schema', json_schema: parameters }, end: '</a>' },
}
const regex = '(ab|c)+[0-9]{2,3}'

const chats: readonly object[] = [
  { messages, tools: [tool], tool_choice: 'auto', parallel_tool_calls: false, stream: true },
  { messages, tools: [tool], tool_choice: named, logprobs: true, top_logprobs: 2 },
  { messages, tools: [tool], tool_choice: { type: 'allowed_tools', allowed_tools: { mode: 'auto', tools: [named] } } },
  { messages, response_format: { type: 'json_schema', json_schema: { name: 'n', schema: parameters, strict: true } } },
  { messages, response_format: tag, stream: true, stream_options: { include_usage: true } },
  { messages, tools: [tool], response_format: { type: 'json_object' }, include_reasoning_content: true },
  { messages, structured_outputs: { json: parameters, disable_any_whitespace: true }, reasoning_effort: 'low' },
  { messages, structured_outputs: { regex }, stream: true },
  { messages, structured_outputs: { choice: ['yes', 'no'] }, thinking_token_budget: -1 },
  { messages, structured_outputs: { grammar: 'root ::= "a" b\nb ::= [0-9]+' }, stop: ['a'] },
  { messages, chat_template_kwargs: { a: [1.5] }, documents: [{ text: 'a' }], logit_bias: { 7: 1 }, bad_words: ['a'] },
]
const completions: readonly object[] = [
  { prompt: ['a', 'b'], structured_outputs: { json: parameters }, echo: true },
  { prompt: 'a', response_format: { type: 'json_object' }, logprobs: 2 },
  { prompt: [1, 2, 3], stop_token_ids: [3], allowed_token_ids: [4, 5], prompt_logprobs: 1, return_token_ids: true },
  { prompt: 'a b c', stream: true, truncate_prompt_tokens: 2, truncation_side: 'right', cache_salt: 's', priority: 0 },
]
const flatTool = { type: 'function', name: 'get_weather', description: 'd', parameters, strict: true }
const items = [
  { role: 'user', content: [{ type: 'input_text', text: 'What is the weather in Oslo?' }] },
  {
    type: 'reasoning',
    summary: [{ type: 'summary_text', text: 'hm' }],
    content: [{ type: 'reasoning_text', text: 'hm' }],
  },
  { type: 'function_call', call_id: 'a', name: 'f', arguments: '{}' },
  { type: 'function_call_output', call_id: 'a', output: '{"a": 1}' },
  { type: 'message', id: 'msg_1', role: 'assistant', status: 'completed', content: 'It is.' },
]
const responses: readonly object[] = [
  { input: 'Hello!', instructions: 'Be brief.', metadata: { a: 'b' }, reasoning: { effort: 'low', summary: 'auto' } },
  { input: items, tools: [flatTool], tool_choice: 'auto', stream: true, truncation: 'auto' },
  { input: items, tools: [flatTool], tool_choice: { type: 'function', name: 'get_weather' }, store: false },
  {
    input: items,
    text: { format: { type: 'json_schema', name: 'n', schema: parameters, strict: true } },
    stream: true,
  },
  { input: items, include: ['message.output_text.logprobs'], top_logprobs: 2, user: 'u', service_tier: 'auto' },
  { input: items, structured_outputs: { regex }, background: true },
]
const blocks = [
  {
    role: 'user',
    content: [{ type: 'text', text: 'What is the weather in Oslo?', cache_control: { type: 'ephemeral' } }],
  },
  {
    role: 'assistant',
    content: [
      { type: 'thinking', thinking: 'hm', signature: 's' },
      { type: 'text', text: 'I look.' },
      { type: 'tool_use', id: 'a', name: 'get_weather', input: { city: 'Oslo' } },
    ],
  },
  { role: 'system', content: 'Be brief.' },
  {
    role: 'user',
    content: [{ type: 'tool_result', tool_use_id: 'a', content: [{ type: 'text', text: 'no' }], is_error: true }],
  },
]
const blockTool = { name: 'get_weather', description: 'd', input_schema: parameters, strict: true }
const blockChats: readonly object[] = [
  { messages: blocks, system: [{ type: 'text', text: 'Be good.' }], tools: [blockTool], stream: true },
  { messages: blocks, tools: [blockTool], tool_choice: { type: 'tool', name: 'get_weather' }, stop_sequences: ['a'] },
  { messages: blocks, tools: [blockTool], tool_choice: { type: 'any', disable_parallel_tool_use: true }, stream: true },
  { messages: blocks, output_config: { effort: 'low', format: { type: 'json_schema', schema: parameters } } },
  {
    messages: [...blocks, { role: 'assistant', content: 'It is' }],
    thinking: { type: 'enabled', budget_tokens: 5, display: 'omitted' },
    context_management: { edits: [{ type: 'clear_thinking_20251015', keep: 'all' }] },
    metadata: { user_id: 'u' },
  },
]

function posts(path: string, bodies: readonly object[], limits: RequestSeed['limits'] = {}): RequestSeed[] {
  return bodies.map((body) => ({ method: 'POST', path, limits, body }))
}

const generation = { model: 'octavo-tiny', max_tokens: 6, seed: 1, n: 2, temperature: 1 }
const conversation = [{ role: 'user', content: 'river' }]

const line = { custom_id: 'a', method: 'POST', url: '/v1/completions', body: { prompt: 'a', max_tokens: 2 } }
const form = [
  '--b\r\ncontent-disposition: form-data; name="purpose"\r\n\r\nbatch\r\n',
  '--b\r\ncontent-disposition: form-data; name="file"; filename="a.jsonl"\r\n\r\n',
  `${JSON.stringify(line)}\r\n--b--\r\n`,
].join('')

const generating: readonly RequestSeed[] = [
  ...posts('/v1/chat/completions', chats, generation),
  ...posts('/v1/completions', completions, generation),
  ...posts('/v1/responses', responses, { model: 'octavo-tiny', max_output_tokens: 6, seed: 1, temperature: 1 }),
  ...posts('/v1/messages', blockChats, { model: 'octavo-tiny', max_tokens: 6, seed: 1, temperature: 1 }),
]

const tokens: readonly RequestSeed[] = [
  ...posts('/v1/messages/count_tokens', blockChats.slice(0, 3), { model: 'octavo-tiny' }),
  ...posts('/v1/chat/completions/render', chats.slice(0, 3), generation),
  ...posts('/v1/completions/render', completions.slice(0, 3), generation),
  ...posts('/tokenize', [
    { model: 'octavo-tiny', prompt: 'a b', add_special_tokens: false, return_token_strs: true },
    { model: 'octavo-tiny', messages, tools: [tool], add_generation_prompt: false, continue_final_message: true },
  ]),
  ...posts('/detokenize', [{ model: 'octavo-tiny', tokens: [1, 2, 3] }]),
]

const vectors = { encoding_format: 'base64', embed_dtype: 'float16', endianness: 'big' }
const pooling: readonly RequestSeed[] = [
  ...posts('/v1/embeddings', [
    { model: 'bert-embed', input: ['river', 'boat'], encoding_format: 'float', use_activation: false, user: 'u' },
    { model: 'bert-embed', input: [[5, 6], [7]], truncate_prompt_tokens: 4, truncation_side: 'left', ...vectors },
    { model: 'bert-embed', messages: conversation, add_special_tokens: true, encoding_format: 'bytes' },
  ]),
  ...posts('/pooling', [
    { model: 'bert-embed', input: 'river', task: 'token_embed', ...vectors },
    { model: 'qwen3-seqcls', input: 'river', task: 'classify' },
  ]),
  ...posts('/classify', [{ model: 'qwen3-seqcls', input: ['river', 'boat'], use_activation: true }]),
  ...['/score', '/v1/score'].flatMap((path) =>
    posts(path, [
      { model: 'bert-reranker', text_1: 'river', text_2: ['boat', 'sun'] },
      { model: 'bert-embed', queries: ['river', 'boat'], documents: ['boat', 'sun'] },
    ]),
  ),
  ...['/rerank', '/v1/rerank', '/v2/rerank'].flatMap((path) =>
    posts(path, [
      {
        model: 'bert-reranker',
        query: 'river',
        documents: ['boat', { text: 'sun' }],
        top_n: 1,
        return_documents: true,
      },
    ]),
  ),
]

const invoked: readonly RequestSeed[] = posts(
  '/invocations',
  [
    { messages, tools: [tool], tool_choice: 'auto' },
    { prompt: 'a', stream: true },
  ],
  generation,
)

function gets(...paths: readonly string[]): RequestSeed[] {
  return paths.map((path) => ({ method: 'GET', path }))
}

const others: readonly RequestSeed[] = [
  { method: 'POST', path: '/v1/files', body: form, type: 'multipart/form-data; boundary=b' },
  { method: 'GET', path: '/v1/files', query: { limit: '2', order: 'asc', purpose: 'batch' } },
  { method: 'GET', path: '/v1/batches', query: { limit: '2' } },
  ...gets('/v1/models', '/v1/models/octavo-tiny', '/health', '/ping', '/ready', '/load', '/version', '/metrics'),
  ...gets('/openapi.json', '/docs', '/tokenizer_info'),
]

/** One or more of every endpoint; all are answered with a 200. */
export const requestSeeds: readonly RequestSeed[] = [...generating, ...tokens, ...pooling, ...invoked, ...others]

/** Of things that are not there: 404, or 400 where the query is looked at first. */
export const seedsOfNothing: readonly RequestSeed[] = [
  { method: 'GET', path: '/v1/responses/resp_a', query: { stream: 'true', starting_after: '1', 'include[]': 'a' } },
  { method: 'DELETE', path: '/v1/responses/resp_a' },
  { method: 'POST', path: '/v1/responses/resp_a/cancel' },
  { method: 'GET', path: '/v1/responses/resp_a/input_items', query: { limit: '5', order: 'asc', after: 'msg_a' } },
  ...gets('/v1/files/file-a', '/v1/files/file-a/content', '/v1/batches/batch_a', '/v1/models/nobody'),
  { method: 'DELETE', path: '/v1/files/file-a' },
  { method: 'POST', path: '/v1/batches/batch_a/cancel' },
  ...posts('/v1/batches', [
    { input_file_id: 'file-a', endpoint: '/v1/completions', completion_window: '24h', metadata: { a: 'b' } },
  ]),
]
