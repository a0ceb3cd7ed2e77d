"""OpenAI, and every server that speaks its chat completions.

``chat.py`` the LanguageModel · ``embeddings.py`` the Embedder · ``wire.py`` chat's Structs, and a request as bytes ·
``answer.py`` events to deltas (both pure) · ``failures.py`` what a refusal means, in the domain's words · ``discovery.py``
which providers this machine has.
"""
