"""What FastRTC's clients speak: browsers over WebRTC and WebSockets, and telephones over Twilio.

``wire.py`` what they send and are sent · ``refusals.py`` how they are told no · ``lines.py`` whose id is whose ·
``outputs.py`` what a call said, for those who read along · ``translate.py`` the voice session's events in FastRTC's words ·
``frames.py`` the messages of sockets · ``mulaw.py`` ``pacing.py`` ``socket_peer.py`` their sound
"""
