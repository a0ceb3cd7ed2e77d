"""Tools of MCP servers, through the official client.

``toolbox.py`` McpToolBox, all configured servers as one tool box · ``server.py`` one server: connected, lost, connected
again · ``listing.py`` what of its tools is offered (pure) · ``session.py`` one connection, on the client · ``child.py`` a
server as a child process · ``endpoint.py`` a server at a URL · ``lines.py`` bytes to messages of bounded length (pure) ·
``result.py`` a call's result to text (pure).

A server is somebody else's program. What it sends is bounded in size, number and pace; its texts reach the model and
nobody else; what it says of its own harmlessness is not believed. Only ``session``, ``child``, ``endpoint`` and ``result``
import the client, which takes most of a second: they are imported when the first server is connected.
"""
