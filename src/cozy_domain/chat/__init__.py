"""The one chat path.

What comes in and out: ``request.py`` · ``events.py`` · ``reply.py``, the events folded into one reply (pure).
The way: ``pipeline.py`` owns the turns · ``turnstile.py`` lets them in · ``turn.py`` one under way · ``plan.py`` and
``admit.py`` (pure) step 1 · ``opening.py`` step 2 · ``prepare.py`` step 3 · ``rounds.py``, ``generate.py``, ``progress.py``
and ``tool_loop.py`` (pure) step 4 · ``close.py`` (pure) and ``ending.py`` step 5 · ``stream.py`` and ``delivery.py`` how the
answer reaches the caller.
Beside it: ``parts.py`` ports and limits · ``replay.py`` what was stored, met again (pure) · ``deadline.py`` the store's ·
``title.py`` a session's first title (pure) · ``compose.py`` and ``ports.py`` for applications that embed it.
"""
