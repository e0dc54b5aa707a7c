"""A sandbox: one kernel, one file system and one process tree, kept over many calls."""

from __future__ import annotations

import os
import posixpath
import subprocess
import threading
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pylitebox.sandbox.client import Connection
from pylitebox.sandbox.hints import hint
from pylitebox.sandbox.options import Mount, Options
from pylitebox.sandbox.zygote import new_supervisor

if TYPE_CHECKING:
    from pylitebox.sandbox.files import SandboxPath
    from pylitebox.sandbox.popen import Popen
    from pylitebox.sandbox.streams import Streams
    from pylitebox.supervisor.protocol import Message


class Sandbox:
    """Programs in it see the host's own programs and libraries read-only, under a writable layer in memory.

    ``mounts``: host directories, as ``"HOST:GUEST[:ro|cow|rw]"`` or :class:`Mount`; ``ro`` refuses writes, ``cow``
    keeps them in memory, ``rw`` does them on the host
    ``workspace``: a directory (``"DIR[:ro|cow|rw]"``, cow by default) that is mounted at its own path and entered
    ``python``: show the calling interpreter with its packages, its programs first in PATH; or the interpreter named
    ``rootfs``: a directory or tar archive (also gzip, xz, zstd) whose files take the place of the host's
    ``rootfs_size``: what a compressed one may unpack to (``"8g"``)
    ``tmpfs``: in-memory directories, as ``"GUEST[:SIZE]"`` or a mapping of path to size
    ``env``: the whole environment of programs; a small one without it, and never the caller's
    ``cwd``, ``user`` (``"UID[:GID]"``), ``hostname``: as programs see them
    ``platform``: what runs guests: ``"native"``, or ``"auto"`` (the default), the first that works here

    Methods may be called from any thread. The sandbox ends with :meth:`close`, with its ``with`` block, or with the
    process that made it.
    """

    def __init__(
        self,
        *,
        mounts: Iterable[Mount | str] = (),
        workspace: str | os.PathLike[str] | None = None,
        python: bool | str | os.PathLike[str] = False,
        rootfs: str | os.PathLike[str] | None = None,
        rootfs_size: int | str | None = None,
        tmpfs: Iterable[str] | Mapping[str, int | str | None] = (),
        env: Mapping[str, str] | None = None,
        cwd: str | os.PathLike[str] | None = None,
        user: str | int | tuple[int, int] | None = None,
        hostname: str | None = None,
        platform: str | None = None,
        memory: int | str | None = None,
    ) -> None:
        self._options = Options(
            mounts=mounts, workspace=workspace, python=python, rootfs=rootfs, rootfs_size=rootfs_size, tmpfs=tmpfs,
            env=env, cwd=cwd, user=user, hostname=hostname, platform=platform, memory=memory,
        )  # fmt: skip
        wire, fds = self._options.wire()
        try:
            self._connection = Connection(new_supervisor())
            self._configured = self._connection.begin("configure", wire, fds=fds)
        finally:
            for fd in fds:
                os.close(fd)
        self._lock = threading.Lock()
        self._ready = False

    # -- programs ---------------------------------------------------------------------------------------------

    def run(self, args: Any, **options: Any) -> subprocess.CompletedProcess[Any]:
        """:func:`pylitebox.run` in this sandbox."""
        from pylitebox.sandbox.popen import run

        return run(args, sandbox=self, **options)

    def Popen(self, args: Any, *more: Any, **options: Any) -> Popen:  # noqa: N802 - the name subprocess gave it
        """:class:`pylitebox.Popen` in this sandbox."""
        from pylitebox.sandbox.popen import Popen

        return Popen(args, *more, sandbox=self, **options)

    def spawn(self, request: dict[str, object], streams: Streams, *, final: bool = False) -> int:
        """Start a program and give its pid; for Popen. ``final``: the sandbox ends with it."""
        wire = {"cwd": self._options.cwd, "env": self._options.env, **request, "final": final}
        if not str(wire["cwd"]).startswith("/"):
            wire["cwd"] = posixpath.join(self._options.cwd, str(wire["cwd"]))
        env = wire["env"]
        assert isinstance(env, dict)
        wire["env"] = [f"{name}={value}" for name, value in env.items()]
        wire["uid"], wire["gid"] = self._options.uid, self._options.gid
        try:
            reply = self._request("spawn", {**wire, "streams": streams.wire}, fds=streams.fds)
        except (FileNotFoundError, NotADirectoryError) as error:
            text = hint(str(error.filename), self._options) if error.filename else None
            if text is not None:
                error.add_note(text)
            raise
        return reply.number("pid")

    def wait_pid(self, pid: int, timeout: float | None) -> int | None:
        """The wait status of a program that :meth:`spawn` started, or None after ``timeout`` seconds; for Popen."""
        exits = self._connection.exits
        if self._connection.wait_for(lambda: pid in exits, timeout):
            return exits.pop(pid, 0)
        return None

    def kill(self, pid: int, signo: int, *, group: bool = False) -> None:
        """Signal a program (or its process group); ProcessLookupError if it has ended."""
        self._request("signal", {"pid": pid, "signo": int(signo), "group": group})

    # -- files ------------------------------------------------------------------------------------------------

    def path(self, *parts: str | os.PathLike[str]) -> SandboxPath:
        """A file of the sandbox, to be used like a ``pathlib.Path``; relative to the sandbox's working directory."""
        from pylitebox.sandbox.files import SandboxPath

        return SandboxPath(self._request, posixpath.join(self._options.cwd, *(os.fspath(part) for part in parts)))

    # -- life -------------------------------------------------------------------------------------------------

    def _request(
        self, op: str, fields: dict[str, object], payload: bytes = b"", fds: list[int] | None = None
    ) -> Message:
        if not self._ready:
            with self._lock:
                if not self._ready:
                    self._connection.result(self._configured)
                    self._ready = True
        return self._connection.request(op, fields, payload, fds)

    @property
    def closed(self) -> bool:
        return self._connection.closed

    def close(self) -> None:
        """End every program in it, and the sandbox."""
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Sandbox {'closed' if self.closed else 'running'}>"
