"""The supervisor's end of the control socket.

The loop never waits for the client: what does not fit into the socket waits in a queue. A client that is gone, or that
sends what is no message, ends the sandbox.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pylitebox.kernel.log import describe
from pylitebox.supervisor.protocol import Channel, ProtocolError, packets

if TYPE_CHECKING:
    from pylitebox.supervisor.session import Session

#: How long (ns) until a full socket is tried again, and how many packets may wait for a client that does not read.
RETRY_NS = 20_000_000
MAX_WAITING = 4096
_MAX_LOGS = 100


class Control:
    """``closed`` once the client is gone."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.closed = False
        self.session: Session | None = None
        self.waiting: deque[bytes] = deque()
        channel.socket.settimeout(0)

    def readable(self) -> None:
        """Serve the requests that have come."""
        assert self.session is not None
        while not self.closed and not self.session.ended:
            try:
                message = self.channel.receive()
                if message is None:
                    self.closed = True
                    return
                self.session.handle(message)
            except BlockingIOError:
                return
            except (OSError, ProtocolError):
                self.closed = True

    def send(self, header: dict[str, object], payload: bytes = b"") -> None:
        """Send, or queue, one message."""
        try:
            self.waiting.extend(packets(header, payload))
        except ProtocolError as error:  # an answer that is too long
            self.waiting.extend(packets({"re": header.get("re"), "message": str(error)}))
        self.flush()

    def flush(self) -> None:
        """Send what fits."""
        waiting = self.waiting
        while waiting and not self.closed:
            try:
                self.channel.send_packet(waiting[0])
            except (BlockingIOError, InterruptedError):
                if len(waiting) > MAX_WAITING:
                    self.closed = True
                return
            except OSError:
                self.closed = True
                return
            waiting.popleft()


class LogToClient:
    """What the supervisor has to say about itself goes to the client: it has no other stream."""

    def __init__(self, control: Control) -> None:
        self._control = control
        self._left = _MAX_LOGS

    def __call__(self, text: str, error: BaseException | None) -> None:
        if self._left > 0:
            self._left -= 1
            if error is not None:
                text = f"{text}\n{describe(error)}"
            self._control.send({"event": "log", "text": text[:8000]})
