"""Thin Litestar surfaces over the domain: no rule lives here.

`settings` is one frozen tree from file and environment, `container` the only module that names adapters, `app` the
routes, the error table and the one lifespan, `cli` the `cozy` command. Each folder besides (`openai`, `cozy`,
`fastrtc`, `realtime`, `cozychat`, `admin`, `console`) is one surface named after the client it serves, with wire types
of its own. `auth`, `throttle`, `problems` and `telemetry` are what the surfaces share. This package re-exports nothing.
"""
