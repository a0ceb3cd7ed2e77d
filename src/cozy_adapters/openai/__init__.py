"""OpenAI, and every server that speaks its chat completions.

``chat.py`` the LanguageModel · ``wire.py`` its Structs, and a request as bytes · ``sse.py`` bytes to events · ``answer.py``
events to deltas (all three pure) · ``failures.py`` what went wrong, in the domain's words · ``discovery.py`` which
providers this machine has.
"""
