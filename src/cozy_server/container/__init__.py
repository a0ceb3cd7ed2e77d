"""Composition: the only package that names adapters.

``container`` is the class; beside it one module for each area of parts: ``store`` what is kept, ``limits`` (with Redis),
``models``, ``speech`` (sound files, voices, recognisers), ``tools``, ``health``. A part of a new area gets a module of its
own: ``voice`` is where a call is put together.

Nothing here does I/O: everything is a Singleton that is cheap to construct, and what must be opened and closed is, by the
one lifespan in ``app``. Tests put other adapters in with ``override``.
"""
