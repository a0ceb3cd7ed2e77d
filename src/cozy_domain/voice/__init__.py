"""Realtime conversation: what happened and what to do as values, the session that decides, and the driver that acts."""
