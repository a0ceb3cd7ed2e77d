"""Processes of our own that do what must not happen in the server's: untrusted bytes, libraries that crash, end the process
or hold the interpreter's lock. They live as long as their standard input: when the server is gone, however it went, so are
they.

``process`` what a process is given, and what it does first
``ending``  how one is ended
``pool``    several of the same program that answer questions, a JSON value in a line each
"""
