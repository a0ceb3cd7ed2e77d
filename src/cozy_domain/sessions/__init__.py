"""Conversations and their turns.

``session.py`` Session and what is shown of it · ``turn.py`` what opens and closes a turn · ``storable.py`` text that every
store can keep · ``ports.py`` TurnStore (writes turns), TurnHistory (what the pipeline reads), SessionStore (what an owner
does with their sessions).
"""
