// Lets a running server speak with openai-node and prints what came as one JSON object.
// Usage: node speech.mjs BASE_URL
import OpenAI, { BadRequestError } from "openai";

const [baseURL] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey: "none", maxRetries: 0 });
const say = (more) =>
  client.audio.speech.create({ model: "tts-1", voice: "alloy", input: "Good evening, Vienna.", ...more });
const first = async (answer) => Buffer.from(await answer.arrayBuffer()).subarray(0, 4).toString("latin1");

const formats = {};
for (const response_format of ["mp3", "opus", "aac", "flac", "wav", "pcm"]) {
  const answer = await say({ response_format });
  formats[response_format] = { type: answer.headers.get("content-type"), first: await first(answer) };
}

let pieces = 0;
for await (const piece of (await say({ response_format: "pcm" })).body) pieces += piece.length > 0;

const sse = await say({ stream_format: "sse" });
const events = (await sse.text()).match(/"type":"[a-z.]+"/g);
const refused = await say({ speed: 9 }).then(() => null, (error) => error);

console.log(
  JSON.stringify({
    formats,
    pieces,
    sse: sse.headers.get("content-type"),
    events: [...new Set(events)],
    refused: { isBadRequest: refused instanceof BadRequestError, param: refused.param },
  }),
);
