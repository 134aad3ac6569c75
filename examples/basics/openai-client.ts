// The official OpenAI client against `npm start` or `octavo serve octavo-tiny`.
import OpenAI from 'openai'

const client = new OpenAI({
  baseURL: process.env['OPENAI_BASE_URL'] ?? 'http://127.0.0.1:8000/v1',
  apiKey: process.env['OPENAI_API_KEY'] ?? 'none',
})

const stream = await client.chat.completions.create({
  model: 'octavo-tiny',
  messages: [{ role: 'user', content: 'What is the capital of Norway?' }],
  temperature: 0,
  stream: true,
})
for await (const chunk of stream) process.stdout.write(chunk.choices[0]?.delta.content ?? '')
process.stdout.write('\n')
