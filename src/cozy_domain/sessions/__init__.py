"""Conversations and their turns.

``session.py`` Session and what is shown of it · ``turn.py`` what opens and closes a turn · ``blobs.py`` the bytes of images,
recordings and files, apart from their messages · ``media.py`` what bytes are · ``storable.py`` text that every store can
keep · ``ports.py`` TurnStore (writes turns), TurnHistory (what the pipeline reads), BlobStore, SessionStore (what an owner
does with their sessions).
"""
