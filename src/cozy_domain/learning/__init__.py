"""What a turn leaves behind.

``worker.py`` leases jobs and runs them · ``flush.py`` what was said since the last flush becomes memory.
"""
