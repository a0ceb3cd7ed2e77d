// Sends a recording to a running server with openai-node and prints what was understood as one JSON object.
// Usage: node sound.mjs BASE_URL FILE
import { createReadStream } from "node:fs";
import OpenAI, { BadRequestError } from "openai";

const [baseURL, path] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const hear = (more) =>
  client.audio.transcriptions.create({ file: createReadStream(path), model: "whisper-1", ...more });

const plain = await hear({});
const text = await hear({ response_format: "text" });
const verbose = await hear({ response_format: "verbose_json", timestamp_granularities: ["word", "segment"] });

const streamed = [];
for await (const event of await hear({ stream: true })) streamed.push(event.type);

const english = await client.audio.translations.create({ file: createReadStream(path), model: "whisper-1" });
const refused = await hear({ temperature: 2 }).then(() => null, (error) => error);

console.log(
  JSON.stringify({
    plain: plain.text,
    requestId: plain._request_id,
    text,
    words: verbose.words.map((it) => it.word),
    segments: verbose.segments.map((it) => it.text),
    streamed,
    english: english.text,
    refused: { isBadRequest: refused instanceof BadRequestError, param: refused.param },
  }),
);
