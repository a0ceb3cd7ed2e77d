// Drives a running server with openai-node and prints what it got as one JSON object.
// Usage: node conversation.mjs BASE_URL MODEL_THAT_CALLS_WEATHER
import OpenAI, { NotFoundError } from "openai";

const [baseURL, toolModel] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const asked = [{ role: "user", content: "What is 17 * 23?" }];

const plain = await client.chat.completions.create({ model: "default", messages: asked });

let streamed = "";
const stream = await client.chat.completions.create({ model: "default", messages: asked, stream: true });
for await (const chunk of stream) streamed += chunk.choices[0]?.delta?.content ?? "";

const helped = await client.chat.completions
  .stream({ model: "default", messages: asked })
  .finalChatCompletion();

const tools = [{ type: "function", function: { name: "weather", parameters: { type: "object" } } }];
const question = [{ role: "user", content: "How is Oslo?" }];
const first = await client.chat.completions.create({ model: toolModel, messages: question, tools });
const call = first.choices[0].message.tool_calls[0];
const second = await client.chat.completions.create({
  model: toolModel,
  messages: [...question, first.choices[0].message, { role: "tool", tool_call_id: call.id, content: "snow, -3" }],
  tools,
});

const session = { session_id: crypto.randomUUID() };
for (const content of ["My name is Robin.", "What is my name?"]) {
  var remembered = await client.chat.completions.create({
    model: "default",
    messages: [{ role: "user", content }],
    cozy: session,
  });
}

const failed = await client.chat.completions
  .create({ model: "nobody", messages: asked })
  .then(() => null, (error) => error);

const texts = ["a cat", "two cats"];
const inBase64 = await client.embeddings.create({ model: "lexical", input: texts });
const inNumbers = await client.embeddings.create({ model: "lexical", input: texts, encoding_format: "float" });

const models = [];
for await (const model of client.models.list()) models.push(model.id);

console.log(
  JSON.stringify({
    plain: plain.choices[0].message.content,
    requestId: plain._request_id,
    streamed,
    helped: helped.choices[0].message.content,
    finish: first.choices[0].finish_reason,
    arguments: call.function.arguments,
    after: second.choices[0].message.content,
    remembered: remembered.choices[0].message.content,
    error: { isNotFound: failed instanceof NotFoundError, code: failed.code, requestID: failed.requestID },
    models,
    vectors: [inBase64, inNumbers].map((answer) => answer.data.map((it) => it.embedding)),
  }),
);
