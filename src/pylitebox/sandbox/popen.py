"""A program in a sandbox, held as ``subprocess.Popen`` holds one on the host.

Deviations from subprocess.Popen (docs/api.md has them all):
- ``preexec_fn``, ``pass_fds``, ``close_fds``, ``shell`` and others (_MISSING) are refused: a program gets exactly its
  three streams, in a session of its own; the user is an option of the sandbox.
- Without ``env`` a program gets the sandbox's small environment, not the caller's; ``cwd`` and ``executable`` are
  paths inside the sandbox, and so is a program found by PATH.
- ``pid`` is the id inside the sandbox.
- A program started without a sandbox gets one of its own, which ends with it: background processes end too.
- A redirected regular file appears as a pipe: it cannot be sought or mapped.
"""

from __future__ import annotations

import io
import os
import selectors
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from types import TracebackType
from typing import IO, Any, Self, cast

from pylitebox.sandbox.box import Sandbox
from pylitebox.sandbox.errors import SandboxError
from pylitebox.sandbox.options import check_environment
from pylitebox.sandbox.streams import Streams

#: Options of subprocess.Popen that mean nothing here, and why.
_MISSING = {
    "shell": "name the shell: ['sh', '-c', command]",
    "preexec_fn": "no function of the caller's can run in the sandbox",
    "close_fds": "a program gets its three streams and no other descriptor",
    "pass_fds": "a program gets its three streams and no other descriptor",
    "restore_signals": "every program starts with the default signal handling",
    "start_new_session": "every program is in a session of its own",
    "process_group": "every program is in a process group of its own",
    "group": "the user is an option of the sandbox: user='UID:GID'",
    "extra_groups": "the user is an option of the sandbox: user='UID:GID'",
    "pipesize": "pipes have the host's default size",
    "startupinfo": "that is Windows'",
    "creationflags": "that is Windows'",
}
StrPath = str | bytes | os.PathLike[str] | os.PathLike[bytes]
_CHUNK = 64 << 10
#: Whether the host can wait for pipes.
_SELECTABLE = os.name != "nt"


class Popen:
    """Start ``args`` in ``sandbox``, or in a new one made with ``sandbox_options`` (see :class:`Sandbox`)."""

    def __init__(
        self,
        args: StrPath | Sequence[StrPath],
        bufsize: int = -1,
        executable: StrPath | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        *,
        cwd: StrPath | None = None,
        env: Mapping[str, str] | None = None,
        universal_newlines: bool | None = None,
        text: bool | None = None,
        encoding: str | None = None,
        errors: str | None = None,
        umask: int = -1,
        sandbox: Sandbox | None = None,
        **sandbox_options: Any,
    ) -> None:
        if text is not None and universal_newlines is not None and bool(text) != bool(universal_newlines):
            raise subprocess.SubprocessError("text and universal_newlines differ")
        for name in sandbox_options:
            if name in _MISSING:
                raise TypeError(f"{name} is not supported: {_MISSING[name]}")
            if sandbox is not None:
                raise TypeError(f"{name} is an option of a new sandbox, and this one exists already, or there is none")
        self.args = args
        self.stdin: IO[Any] | None = None
        self.stdout: IO[Any] | None = None
        self.stderr: IO[Any] | None = None
        self.encoding, self.errors = encoding, errors
        self.text_mode = bool(encoding or errors or text or universal_newlines)
        self.pid = 0
        self.returncode: int | None = None
        self._output: dict[IO[Any], list[bytes]] = {}
        self._input: memoryview | None = None
        self._communicating = False
        self._pumps: list[threading.Thread] = []
        self._lock = threading.Lock()
        argv = [os.fsdecode(arg) for arg in ([args] if isinstance(args, (str, bytes, os.PathLike)) else args)]
        if not argv:
            raise ValueError("args is empty")
        request: dict[str, object] = {
            "argv": argv,
            "executable": os.fsdecode(executable) if executable is not None else argv[0],
            "umask": umask,
        }
        if cwd is not None:
            request["cwd"] = os.fsdecode(cwd)
        if env is not None:
            request["env"] = check_environment(env)
        if any("\0" in text for text in (*argv, str(request["executable"]))):
            raise ValueError("embedded null byte")
        self._own = sandbox is None
        self._sandbox = Sandbox(**sandbox_options) if sandbox is None else sandbox
        try:
            self._start(request, (stdin, stdout, stderr), bufsize)
        except BaseException:
            self._close_streams()
            if self._own:
                self._sandbox.close()
            raise

    # -- starting ---------------------------------------------------------------------------------------------

    def _start(self, request: dict[str, object], given: tuple[int | IO[Any] | None, ...], bufsize: int) -> None:
        streams = Streams()
        child_ends: list[int] = []
        try:
            ours = [self._stream(streams, number, value, child_ends) for number, value in enumerate(given)]
            self.stdin, self.stdout, self.stderr = (
                self._wrap(fd, bufsize, write=number == 0) if fd is not None else None for number, fd in enumerate(ours)
            )
            self.pid = self._sandbox.spawn(request, streams, final=self._own)
        finally:
            streams.close()
            for fd in child_ends:
                os.close(fd)

    def _stream(self, streams: Streams, number: int, value: int | IO[Any] | None, child_ends: list[int]) -> int | None:
        """Add one stream; our end of it if it is a pipe."""
        write = number != 0
        if value == subprocess.PIPE:
            read_end, write_end = os.pipe()
            child = write_end if write else read_end
            child_ends.append(child)
            streams.add(child, write=write)
            return read_end if write else write_end
        if value == subprocess.DEVNULL:
            streams.add_null()
        elif value == subprocess.STDOUT and number == 2:
            streams.add_same(1)
        elif value is None:
            streams.add(number, write=write)
        else:
            fd = value if isinstance(value, int) else value.fileno()
            os.fstat(fd)  # OSError(EBADF): only what is inherited may be closed
            streams.add(fd, write=write)
        return None

    def _wrap(self, fd: int, bufsize: int, *, write: bool) -> IO[Any]:
        line_buffering = bufsize == 1 and self.text_mode
        raw = open(fd, "wb" if write else "rb", -1 if line_buffering else bufsize)  # noqa: SIM115 - it is the stream
        if not self.text_mode:
            return raw
        return io.TextIOWrapper(
            raw,
            encoding=self.encoding or io.text_encoding(None),
            errors=self.errors,
            line_buffering=line_buffering if write else False,
            write_through=write,
        )

    # -- its end ----------------------------------------------------------------------------------------------

    def poll(self) -> int | None:
        """The return code (negative: ended by that signal), or None while it runs."""
        return self._wait(0.0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; subprocess.TimeoutExpired."""
        code = self._wait(timeout)
        if code is None:
            assert timeout is not None
            raise subprocess.TimeoutExpired(self.args, timeout)
        return code

    def _wait(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            status = self._sandbox.wait_pid(self.pid, timeout)
            if status is None:
                return None
            with self._lock:
                if self.returncode is None:
                    signo = status & 0x7F
                    self.returncode = -signo if signo else status >> 8
            if self._own:
                self._sandbox.close()
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Signal the program; nothing if it has ended."""
        if self.poll() is None:
            try:
                self._sandbox.kill(self.pid, sig)
            except ProcessLookupError:
                pass

    def terminate(self) -> None:
        self.send_signal(15)

    def kill(self) -> None:
        self.send_signal(9)

    def _abandon(self) -> None:
        """Kill it, whatever state it is in, and with it a sandbox of its own."""
        try:
            if self._own:
                self._sandbox.close()
            else:
                self.kill()
        except SandboxError:
            pass
        if self._own and self.returncode is None:
            self.returncode = -9

    # -- talking ----------------------------------------------------------------------------------------------

    def communicate(self, input: Any = None, timeout: float | None = None) -> tuple[Any, Any]:  # noqa: A002 - as there
        """Send ``input``, read to the ends of stdout and stderr, wait. After subprocess.TimeoutExpired it can be
        called again, and goes on where it was."""
        if self._communicating and input is not None:
            raise ValueError("Cannot send input after starting communication")
        if not self._communicating:
            self._communicating = True
            self._begin(input)
        deadline = None if timeout is None else time.monotonic() + timeout
        self._pump(deadline, timeout)
        self._wait_until(deadline, timeout)
        return self._take(self.stdout), self._take(self.stderr)

    def _begin(self, data: Any) -> None:
        if self.stdin is not None:
            try:
                self.stdin.flush()
            except BrokenPipeError:
                pass
            if data is None:
                self._close_input()
            elif self.text_mode:
                encoding = getattr(self.stdin, "encoding", "utf-8")
                self._input = memoryview(data.encode(encoding, self.errors or "strict"))
            else:
                self._input = memoryview(data).cast("b")
        self._output = {stream: [] for stream in (self.stdout, self.stderr) if stream is not None}

    def _pump(self, deadline: float | None, timeout: float | None) -> None:
        if _SELECTABLE:
            self._pump_selected(deadline, timeout)
        else:
            self._pump_in_threads(deadline, timeout)

    def _pump_in_threads(self, deadline: float | None, timeout: float | None) -> None:
        """Where pipes cannot be waited for together, each has a thread."""
        if not self._pumps:
            jobs: list[Callable[[], None]] = [
                partial(self._read_all, stream) for stream in self._output if not stream.closed
            ]
            if self._input is not None and self.stdin is not None and not self.stdin.closed:
                jobs.append(self._write_all)
            self._pumps = [threading.Thread(target=job, daemon=True) for job in jobs]
            for thread in self._pumps:
                thread.start()
        for thread in self._pumps:
            thread.join(self._left(deadline, timeout))
            if thread.is_alive():
                self._left(deadline, timeout)

    def _read_all(self, stream: IO[Any]) -> None:
        while not self._read_some(stream):
            pass
        stream.close()

    def _write_all(self) -> None:
        try:
            while not self._write_some():
                pass
        except OSError:  # as BrokenPipeError: Windows has several names for it
            pass
        self._close_input()

    def _pump_selected(self, deadline: float | None, timeout: float | None) -> None:
        with selectors.DefaultSelector() as selector:
            if self._input is not None and self.stdin is not None and not self.stdin.closed:
                os.set_blocking(self.stdin.fileno(), False)
                selector.register(self.stdin, selectors.EVENT_WRITE)
            for stream in self._output:
                if not stream.closed:
                    selector.register(stream, selectors.EVENT_READ)
            while selector.get_map():
                left = self._left(deadline, timeout)
                for key, _ in selector.select(left):
                    ready = cast("IO[Any]", key.fileobj)
                    if ready is self.stdin:
                        if self._write_some():
                            selector.unregister(ready)
                            self._close_input()
                    elif self._read_some(ready):
                        selector.unregister(ready)
                        ready.close()

    def _left(self, deadline: float | None, timeout: float | None) -> float | None:
        if deadline is None:
            return None
        left = deadline - time.monotonic()
        if left <= 0:
            assert timeout is not None
            raise subprocess.TimeoutExpired(
                self.args, timeout, output=self._so_far(self.stdout), stderr=self._so_far(self.stderr)
            )
        return left

    def _so_far(self, stream: IO[Any] | None) -> bytes | None:
        return (b"".join(self._output.get(stream, ())) or None) if stream is not None else None

    def _wait_until(self, deadline: float | None, timeout: float | None) -> None:
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        if self._wait(left) is None:
            self._left(deadline, timeout)

    def _write_some(self) -> bool:
        """Whether all input is written, or nobody reads it any more."""
        assert self._input is not None
        assert self.stdin is not None
        try:
            count = os.write(self.stdin.fileno(), self._input[:_CHUNK])
        except BlockingIOError:
            return False
        except BrokenPipeError:
            return True
        self._input = self._input[count:]
        return not self._input

    def _read_some(self, stream: IO[Any]) -> bool:
        data = os.read(stream.fileno(), _CHUNK)
        self._output[stream].append(data)
        return not data

    def _take(self, stream: IO[Any] | None) -> Any:
        if stream is None:
            return None
        data = b"".join(self._output.get(stream, ()))
        if not self.text_mode:
            return data
        text = data.decode(stream.encoding, stream.errors or "strict")  # type: ignore[attr-defined]
        return text.replace("\r\n", "\n").replace("\r", "\n")

    def _close_input(self) -> None:
        if self.stdin is not None:
            try:
                self.stdin.close()
            except BrokenPipeError:
                pass

    def _close_streams(self) -> None:
        for stream in (self.stdout, self.stderr):
            if stream is not None:
                stream.close()
        self._close_input()

    # -- context ----------------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._close_streams()
        try:
            self.wait()
        except SandboxError:
            if kind is None:
                raise

    def __repr__(self) -> str:
        return f"<Popen: returncode: {self.returncode} args: {self.args!r}>"


def run(
    args: StrPath | Sequence[StrPath],
    *,
    input: Any = None,  # noqa: A002 - as subprocess has it
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """Run a program to its end, as ``subprocess.run`` does: the same result, the same exceptions.

    The options are those of :class:`Popen`, and without ``sandbox=`` those of :class:`Sandbox`.
    """
    if input is not None:
        if options.get("stdin") is not None:
            raise ValueError("stdin and input arguments may not both be used.")
        options["stdin"] = subprocess.PIPE
    if capture_output:
        if options.get("stdout") is not None or options.get("stderr") is not None:
            raise ValueError("stdout and stderr arguments may not be used with capture_output.")
        options["stdout"] = options["stderr"] = subprocess.PIPE
    with Popen(args, **options) as process:
        try:
            output, errors = process.communicate(input, timeout)
        except BaseException:
            process._abandon()
            raise
        code = process.wait()
    if check and code:
        raise subprocess.CalledProcessError(code, process.args, output=output, stderr=errors)
    return subprocess.CompletedProcess(process.args, code, output, errors)
