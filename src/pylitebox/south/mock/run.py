"""A whole sandbox on the mock platform in one call, for tests:

    outcome = run_mock(program, files={"/etc/passwd": "root:x:0:0::/:/bin/sh\\n"})
    assert outcome.status == 0 and outcome.stdout == b"..."

A failed assertion in a script, or an internal error of the kernel, fails the test here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Union

from pylitebox.abi import fcntl as fc
from pylitebox.abi.wait import returncode
from pylitebox.kernel import process as processes
from pylitebox.kernel.credentials import Credentials
from pylitebox.kernel.errors import KernelError
from pylitebox.kernel.fs import operations as ops
from pylitebox.kernel.fs.devfs import DevFs
from pylitebox.kernel.fs.namespace import Namespace
from pylitebox.kernel.fs.procfs import ProcFs
from pylitebox.kernel.fs.tmpfs import TmpFs
from pylitebox.kernel.kernel import Kernel, Limits
from pylitebox.kernel.stream import StreamFile
from pylitebox.north.linux.exec import SpawnRequest, spawn
from pylitebox.north.linux.personality import Personality
from pylitebox.south.mock.host import Entry, Link, MockStream
from pylitebox.south.mock.layer import Layer
from pylitebox.south.mock.platform import MockPlatform, Stalled

if TYPE_CHECKING:
    from pylitebox.kernel.platform import HostStream, Platform
    from pylitebox.kernel.task import Process
    from pylitebox.south.mock.guest import Function

#: What a test puts into the file tree: as for a host's tree (host.py), and programs.
FileTree = Union[bytes, str, Link, Entry, Callable[..., Any], Mapping[str, "FileTree"]]  # noqa: UP007
#: Steps after which a test is taken to run for ever.
MAX_STEPS = 200_000


@dataclass(slots=True)
class Outcome:
    """``status`` is as subprocess's returncode: the exit status, or minus the number of the fatal signal."""

    status: int
    stdout: bytes
    stderr: bytes
    kernel: Kernel


@dataclass(slots=True)
class MockSandbox:
    """A kernel on the mock platform with an empty in-memory root, /dev, /proc and /tmp."""

    platform: MockPlatform = field(default_factory=MockPlatform)
    #: Wrap the platform in other layers (layer.py) before the kernel sees it.
    layers: Callable[[MockPlatform], Platform] | None = None
    limits: Limits | None = None
    kernel: Kernel = field(init=False)
    personality: Personality = field(init=False)
    namespace: Namespace = field(init=False)

    def __post_init__(self) -> None:
        outer: Platform = self.layers(self.platform) if self.layers else self.platform
        self.kernel = kernel = Kernel(outer, limits=self.limits)
        self.personality = Personality(kernel)
        outer.attach(self.personality)
        processes.boot(kernel)
        self.namespace = kernel.namespace = Namespace(kernel, TmpFs(kernel))
        self.namespace.mount(DevFs(kernel), b"/dev")
        self.namespace.mount(kernel.terminals, b"/dev/pts")
        self.namespace.mount(ProcFs(kernel), b"/proc")
        self.put("/tmp", Entry({}, 0o1777))  # noqa: S108 - the guest's

    def put(self, path: str, content: FileTree) -> None:
        """Make a file, directory, link or program, with the directories above it."""
        if isinstance(content, Entry):
            self._put(path, content.content, content.mode)
        else:
            self._put(path, content, None)

    def _put(self, path: str, content: FileTree, mode: int | None) -> None:
        who, raw = self.namespace.view, path.encode()
        if isinstance(content, Mapping):
            place = self.namespace.make_directories(raw)
            for name, inner in content.items():
                self.put(f"{path.rstrip('/')}/{name.lstrip('/')}", inner)
        else:
            self.namespace.make_directories(raw.rpartition(b"/")[0])
            if isinstance(content, Link):
                ops.symlink(who, content.target.encode(), raw)
                return
            if callable(content):
                content, mode = self.platform.executable(content), mode or 0o755
            assert isinstance(content, bytes | str)
            data = content.encode() if isinstance(content, str) else content
            file = ops.open(who, raw, fc.O_WRONLY | fc.O_CREAT | fc.O_TRUNC, 0o644)
            file.references += 1
            file.write(data)
            file.put()
            place = ops.resolve(who, raw)
        if mode is not None:
            ops.chmod(who, place, mode)

    def read(self, path: str) -> bytes:
        """The content of a file of the sandbox."""
        file = ops.open(self.namespace.view, path.encode(), fc.O_RDONLY, 0)
        file.references += 1
        try:
            return file.read(1 << 30)
        finally:
            file.put()

    def spawn(
        self,
        program: Function | str,
        argv: Sequence[str] | None = None,
        *,
        env: Mapping[str, str] | None = None,
        cred: Credentials | None = None,
        cwd: str = "/",
        streams: Sequence[MockStream] = (),
    ) -> Process:
        """Start a program: a function, or a path (a name is looked for in PATH). ``streams`` become its 0, 1, 2."""
        if callable(program):
            path = f"/bin/{getattr(program, '__name__', 'program').strip('<>')}"
            self.put(path, program)
        else:
            path = program
        cred = cred or Credentials()
        modes = (fc.O_RDONLY, fc.O_WRONLY, fc.O_WRONLY)
        request = SpawnRequest(
            [a.encode() for a in (argv or [path])],
            [f"{k}={v}".encode() for k, v in (env or {}).items()],
            executable=path.encode(),
            cwd=cwd.encode(),
            files={
                fd: StreamFile(self._layered(s), modes[fd], uid=cred.uid, gid=cred.gid) for fd, s in enumerate(streams)
            },
            cred=cred,
        )
        return spawn(self.kernel, request)

    def _layered(self, stream: MockStream) -> HostStream:
        """A stream as the outermost layer shows it."""
        platform = self.kernel.platform
        return platform.wrap("HostStream", stream) if isinstance(platform, Layer) else stream

    def run(self, until: Callable[[], bool] | None = None) -> None:
        """Let everything happen until ``until()`` (default: until no process is left)."""
        kernel = self.kernel
        kernel.scheduler.run()
        start = self.platform.steps
        while not until() if until else len(kernel.processes) > 1:
            kernel.step()
            if self.platform.steps - start > MAX_STEPS:
                raise Stalled(f"no end after {MAX_STEPS} steps")
        self.check()

    def settle(self) -> None:
        """Let everything happen that needs no time to pass and no outside event."""
        kernel = self.kernel
        kernel.scheduler.run()
        while not (self.platform.idle and kernel.scheduler.idle):
            kernel.step()
        self.check()

    def check(self) -> None:
        """Raise what went wrong so far in a script or in the kernel."""
        if self.platform.failures:
            raise self.platform.failures[0]
        assert self.kernel.internal_errors == 0, "the kernel logged an internal error"

    def close(self) -> None:
        kernel = self.kernel
        processes.kill_all(kernel)
        kernel.platform.close()
        left = (kernel.areas.used, kernel.commit.used, len(kernel.sources), len(kernel.futexes.waiting))
        assert left == (0, 0, 0, 0), f"areas, bytes, sources, futexes outlived all processes: {left}"


def run_mock(
    program: Function | str,
    *,
    files: Mapping[str, FileTree] | None = None,
    argv: Sequence[str] | None = None,
    env: Mapping[str, str] | None = None,
    stdin: bytes | MockStream = b"",
    cred: Credentials | None = None,
    cwd: str = "/",
    sandbox: MockSandbox | None = None,
) -> Outcome:
    """Run a program to its end, and all its descendants to theirs.

    ``files`` maps paths to contents. KernelError if the program can't be started; :class:`Stalled` if it hangs.
    """
    sandbox = sandbox or MockSandbox()
    for path, content in (files or {}).items():
        sandbox.put(path, content)
    streams = [stdin if isinstance(stdin, MockStream) else MockStream(stdin), MockStream(), MockStream()]
    try:
        process = sandbox.spawn(program, argv, env=env, cred=cred, cwd=cwd, streams=streams)
        sandbox.run()
    except Stalled as stalled:
        if sandbox.platform.failures:
            raise sandbox.platform.failures[0] from stalled
        raise
    finally:
        logging.getLogger(__name__).debug("the mock made %d steps", sandbox.platform.steps)
        sandbox.close()
    return Outcome(returncode(process.status), bytes(streams[1].output), bytes(streams[2].output), sandbox.kernel)


__all__ = ["FileTree", "KernelError", "MockSandbox", "Outcome", "run_mock"]
