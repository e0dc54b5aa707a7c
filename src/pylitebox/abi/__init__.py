"""Linux facts that every layer may import: numbers, flags and structure layouts.

Rules: this package imports nothing of ours, has no behaviour beyond packing and naming, and takes each value from
Linux's headers or man pages, never from the host's ``errno``, ``stat``, ``signal`` or ``os`` modules, whose numbers
differ on macOS and Windows.
"""
