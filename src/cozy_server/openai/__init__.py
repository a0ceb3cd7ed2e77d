"""The surface for OpenAI clients: chat completions, embeddings and models.

`wire` holds what is sent and received, `history` the rules for tool calls in a request's messages, `attachments` those for
images, recordings and files, `translate` turns a request into the domain's and `reply` the domain's answer into OpenAI's
(both pure), `sse` writes a turn's events as chunks, `chat`, `embeddings` and `models` are the routes, `leaving` ends work
that nobody waits for.
"""
