"""What the kernel says about itself: errors that are ours, never a guest's.

Entries go to the standard library's log. A supervisor sends them to its client instead (:func:`send_to`): it starts
with every sandbox, and ``logging`` with all that it imports would be a tenth of that.
"""

from __future__ import annotations

from collections.abc import Callable

#: Takes a text, and the exception that it is about.
Sink = Callable[[str, BaseException | None], None]


def _to_standard_log(text: str, error: BaseException | None) -> None:
    import logging

    logging.getLogger("pylitebox").error(text, exc_info=error)


_sink: Sink = _to_standard_log


def send_to(sink: Sink) -> None:
    """Let ``sink`` take all entries of this process from now on."""
    global _sink  # noqa: PLW0603 - one per process
    _sink = sink


def log(text: str, error: BaseException | None = None) -> None:
    _sink(text, error)


def describe(error: BaseException) -> str:
    """The error with where it came from, innermost last: ``traceback`` without the source lines, which a confined
    process cannot read."""
    lines, frame = [], error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        lines.append(f"  {code.co_filename}:{frame.tb_lineno} in {code.co_qualname}")
        frame = frame.tb_next
    return "\n".join([*lines, f"{type(error).__name__}: {error}"])
