"""What goes wrong on our side. What goes wrong inside the sandbox is the OSError that ``subprocess`` would raise."""


class SandboxError(Exception):
    """The sandbox could not be made or has ended: the host lacks something, or a part of ours failed."""


class OptionError(ValueError):
    """An option makes no sense; the message is one sentence for the user."""
