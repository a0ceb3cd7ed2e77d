"""The domain's ports on real technology: one module for each, a folder where one needs several files.

`inmemory` needs nothing but the domain and is a product of its own; `sql` is the store (SQLite and Postgres), `redis`
limits and presence, `files` personas, `openai`, `anthropic` and `offline` the language models, `webrtc` calls. Adapters
do not know each other; shared are only `egress` (guarded outbound HTTP), `codec` (audio), and for providers of models
`sse` (bytes to events), `endpoint` and `upstream` (the way there). The server's container is the only importer. This package
re-exports nothing.
"""
