"""The way of the schema so far. ``HEAD`` in ``tables.py`` names the last step."""
