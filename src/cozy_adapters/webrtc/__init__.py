"""Lines over WebRTC, on aiortc.

``description`` reads offers, ``ice`` addresses and ICE servers; ``receive`` is our own receiving side and ``send`` our own
sending side; ``peer`` is one line and ``connections`` all of them. What of aiortc is not documented is used in ``internals``
only.
"""
