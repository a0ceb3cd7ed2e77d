"""Our own surface, ``/v1/cozy``: what an owner does with what is stored for them.

`wire` holds what is sent and received, `query` reads query parameters strictly, `sessions` and `blobs` are the routes.
"""
