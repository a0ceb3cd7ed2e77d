"""The one chat path.

``request.py`` what is asked · ``events.py`` what streams back · ``pipeline.py`` the way from one to the other ·
``generate.py`` a model of the chain answers · ``tool_loop.py`` model output to next step (pure) · ``reply.py`` a stream
folded into one reply (pure) · ``title.py`` a session's first title (pure).
"""
