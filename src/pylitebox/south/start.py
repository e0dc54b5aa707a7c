"""What goes wrong when a platform starts."""


class StartError(Exception):
    """The platform cannot start here; the message says why and what to do."""
