"""What FastRTC's clients speak: browsers over WebRTC and WebSockets, and telephones over Twilio.

Routes: ``offer.py`` WebRTC · ``socket.py`` WebSockets · ``telephone.py`` Twilio · ``hooks.py`` reading along and typing ·
``gradio.py`` Gradio's component · ``page.py`` our own page

Who asks and what for: ``wire.py`` what they send and are sent · ``asking.py`` whose request it is · ``lines.py`` whose id is
whose · ``waiting.py`` sockets that have not said it yet · ``refusals.py`` how they are told no

A call: ``conversations.py`` on whichever line it is · ``translate.py`` the voice session's events in FastRTC's words ·
``outputs.py`` what it said, for those who read along

Sockets: ``frames.py`` their messages · ``socket_peer.py`` the line · ``mulaw.py`` ``tempo.py`` ``pacing.py`` ``marks.py``
its sound: as it is sent, at which rate, when, and what a telephone has played
"""
