"""What compose.py needs of the host, beside a platform: the things that a client's request names, opened, and walls.

One object for each sandbox: :class:`~.linux.LinuxHost`, or :class:`~.portable.PortableHost` everywhere else. The order
in which compose.py calls is that of the methods here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from pylitebox.supervisor.protocol import ProtocolError

if TYPE_CHECKING:
    from pylitebox.kernel.platform import HostDirectory, HostedPlatform, HostFile
    from pylitebox.supervisor.platforms import Row
    from pylitebox.supervisor.protocol import Channel, Message
    from pylitebox.supervisor.session import NewStream
    from pylitebox.supervisor.view import View


class ComposeError(Exception):
    """The sandbox that was asked for cannot be; the message is one sentence."""


class Wall(NamedTuple):
    """One wall around the supervisor: ``stands``, and in ``detail`` what it does or why it is missing."""

    name: str
    stands: bool
    detail: str


class Mount(NamedTuple):
    """A host directory that the client wants to be shown; ``fd``: its descriptor, where directories have one."""

    guest: bytes
    mode: str
    host: str
    fd: int


class Host:
    """What is common: nothing of the host is opened, and no wall stands."""

    #: A descriptor of /dev/urandom, where the supervisor may not ask for random bytes otherwise.
    urandom: int | None = None

    @staticmethod
    def preload() -> None:
        """Import what a sandbox here may need."""

    @staticmethod
    def wait_for(channel: Channel) -> None:
        """From now on sending waits, whatever was said to the socket before."""
        channel.socket.settimeout(None)

    def add_system(self, view: View) -> None:
        """Show the host's own programs."""
        raise ComposeError("this host has no Linux programs to show: name a tree of them (--rootfs, rootfs=)")

    def directory(self, mount: Mount) -> HostDirectory:
        """A mounted directory, or that of a rootfs; ComposeError."""
        raise NotImplementedError

    def stub(self) -> str:
        """A path to the native stub program that holds behind the walls."""
        raise NotImplementedError

    def enclose(self, row: Row) -> list[Wall]:
        """Give up what is not needed, before the first thread starts."""
        return []

    def attach(self, platform: HostedPlatform) -> int:
        """The platform is made: start what delivers to its loop; how many processes there may be."""
        raise NotImplementedError

    def started(self) -> None:
        """The platform runs."""

    def seal(
        self, platform: HostedPlatform, channel: Channel, row: Row, kept: list[int], *, writable: bool
    ) -> list[Wall]:
        """Give up the rest: nothing is opened from now on. ``kept``: descriptors that stay open; ``writable``: some
        mount is."""
        return []

    def file(self, fd: int) -> HostFile:
        """A file to read from a descriptor, which it takes over."""
        raise NotImplementedError

    def streams(self, platform: HostedPlatform) -> NewStream:
        """What makes a console stream of a host descriptor."""
        raise NotImplementedError

    def close(self) -> None:
        """Everything in the sandbox has ended."""


def rows(message: Message, key: str, size: int) -> list[list[object]]:
    """A list of lists of ``size`` in a request; ProtocolError."""
    value = message.header.get(key)
    if not isinstance(value, list) or not all(isinstance(row, list) and len(row) == size for row in value):
        raise ProtocolError(f"{key} is malformed")
    return value
