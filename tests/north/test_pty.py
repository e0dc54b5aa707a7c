"""Pseudo-terminals and their line discipline, on the host's kernel and on ours."""

from __future__ import annotations

import random
import struct
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import pytest

from pylitebox.abi import errno as E
from pylitebox.abi import fcntl as fc
from pylitebox.abi import ioctl as io
from pylitebox.abi import poll as po
from pylitebox.abi import termios as t
from pylitebox.kernel.fs.devfs import DevFs
from pylitebox.kernel.tty import terminal
from pylitebox.kernel.tty.discipline import SIZE, LineDiscipline
from tests.north.bench import Bench, Guest
from tests.north.calls import control, events, read, wait, write
from tests.north.conftest import HostGuest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.north.conftest import AnyGuest

FLAGS = fc.O_RDWR | fc.O_NOCTTY | fc.O_NONBLOCK
IN, OUT = po.POLLIN | po.POLLRDNORM, po.POLLOUT | po.POLLWRNORM


def with_devices(g: AnyGuest) -> AnyGuest:
    """The guest, with a /dev if it is one of ours."""
    if isinstance(g, Guest):
        namespace = g.bench.kernel.namespace
        if not any(mount.filesystem.name == "devpts" for mount in namespace.mounts):
            namespace.mount(DevFs(g.bench.kernel), b"/dev")
            namespace.mount(g.bench.kernel.terminals, b"/dev/pts")
    return g


@pytest.fixture
def d(g: AnyGuest) -> AnyGuest:
    return with_devices(g)


def number(g: AnyGuest, fd: int, request: int) -> int:
    value = bytearray(4)
    result = g("ioctl", fd, request, value)
    return int.from_bytes(value, "little") if result == 0 else result


def open_pair(g: AnyGuest) -> tuple[int, int]:
    master = g("open", "/dev/ptmx", FLAGS, 0)
    assert master >= 0
    assert g("ioctl", master, io.TIOCSPTLCK, bytes(4)) == 0
    slave = g("open", f"/dev/pts/{number(g, master, io.TIOCGPTN)}", FLAGS, 0)
    assert slave >= 0
    return master, slave


def settings(g: AnyGuest, fd: int) -> list:
    raw = bytearray(t.TERMIOS.size)
    assert g("ioctl", fd, io.TCGETS, raw) == 0
    return list(t.TERMIOS.unpack(raw))


def change(g: AnyGuest, fd: int, *, on: tuple = (0, 0, 0), off: tuple = (0, 0, 0), cc: dict | None = None) -> None:
    """Set and clear flags of iflag, oflag and lflag, and characters."""
    raw = settings(g, fd)
    for field, (add, remove) in zip((0, 1, 3), zip(on, off, strict=True), strict=True):
        raw[field] = raw[field] & ~remove | add
    characters = bytearray(raw[5])
    for name, value in (cc or {}).items():
        characters[name] = value
    assert g("ioctl", fd, io.TCSETS, t.TERMIOS.pack(*raw[:5], bytes(characters))) == 0


def raw_mode(g: AnyGuest, fd: int, least: int = 1, tenths: int = 0) -> None:
    change(g, fd, off=(0xFFFF, t.OPOST, 0xFFFFFFFF), cc={t.VMIN: least, t.VTIME: tenths})


def settle(g: AnyGuest, *fds: int) -> None:
    """The host moves bytes in its own time: looking makes it finish, unless there is something already."""
    for fd in fds * 2:
        events(g, fd)
        if isinstance(g, HostGuest):
            time.sleep(0.002)


def typed(g: AnyGuest, master: int, slave: int, data: bytes) -> bytes | int:
    """Type something; what is echoed."""
    assert write(g, master, data) == len(data)
    settle(g, slave, master)
    return read(g, master, 4096)


def test_the_pair(d: AnyGuest) -> None:
    g = d
    master = g("open", "/dev/ptmx", FLAGS, 0)
    index = number(g, master, io.TIOCGPTN)
    assert number(g, master, io.TIOCGPTLCK) == 1
    assert g("open", f"/dev/pts/{index}", FLAGS, 0) == -E.EIO, "locked"
    assert g("ioctl", master, io.TIOCSPTLCK, bytes(4)) == 0
    slave = g("open", f"/dev/pts/{index}", FLAGS, 0)
    assert number(g, slave, io.TIOCGDEV) == number(g, master, io.TIOCGDEV) == 136 << 8 | index
    assert number(g, slave, io.TIOCGPTN) == number(g, slave, io.TIOCGPKT) == -E.ENOTTY
    peer = g("ioctl", master, io.TIOCGPTPEER, FLAGS)
    assert g("ioctl", slave, io.TIOCGPTPEER, FLAGS) in (-E.EIO, -E.ENOTTY)
    assert write(g, peer, b"x") == 1
    settle(g, master)
    assert read(g, master, 9) == b"x"
    assert g("lseek", slave, 0, 0) == -E.ESPIPE
    assert g("open", "/dev/pts/999", FLAGS, 0) == -E.ENOENT
    for fd in (slave, peer):
        g("close", fd)
    assert read(g, master, 9) == -E.EIO
    assert events(g, master) == po.POLLHUP | OUT
    again = g("open", f"/dev/pts/{index}", FLAGS, 0)
    assert (read(g, master, 9), events(g, master)) == (-E.EAGAIN, OUT)
    g("close", master)
    assert g("open", f"/dev/pts/{index}", FLAGS, 0) == -E.ENOENT
    assert (read(g, again, 9), write(g, again, b"x")) == (b"", -E.EIO)
    assert events(g, again) == IN | OUT | po.POLLERR | po.POLLHUP
    assert (g("ioctl", again, io.TCGETS, bytearray(60)), g("ioctl", again, io.TIOCSPGRP, 0)) == (-E.EIO, -E.ENOTTY)


def test_settings(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    old = settings(g, slave)
    assert old == settings(g, master)
    assert old == [0x500, 5, 0xBF, 0x8A3B, 0, t.INIT_C_CC]
    two = bytearray(t.TERMIOS2.size)
    assert g("ioctl", slave, io.TCGETS2, two) == 0
    assert t.TERMIOS2.unpack(two)[6:] == (38400, 38400)
    given = t.TERMIOS2.pack(0, 0, t.BOTHER | 0o20 | t.PARENB, 0, 0, bytes(19), 1234, 4321)
    assert g("ioctl", master, io.TCSETSF2, given) == 0
    assert g("ioctl", slave, io.TCGETS2, two) == 0
    assert t.TERMIOS2.unpack(two)[2] == t.BOTHER | t.CS8 | t.CREAD
    assert t.TERMIOS2.unpack(two)[7] == 4321
    change(g, slave, on=(t.ICRNL, 0, t.ICANON))
    short = bytearray(17)
    assert g("ioctl", slave, io.TCGETA, short) == 0
    assert struct.unpack("<HHHHB8s", short)[0:4:3] == (t.ICRNL, t.ICANON)
    assert g("ioctl", slave, io.TCSETAW, t.TERMIO.pack(1, 2, 0xF, 4, 0, b"12345678")) == 0
    assert [settings(g, slave)[n] for n in (0, 1, 3)] == [1, 2, 4]
    assert settings(g, slave)[5][:8] == b"12345678"
    assert g("ioctl", slave, io.TCSETS, 8) == g("ioctl", slave, io.TCGETS, 8) == -E.EFAULT


def test_refusals(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    for request in (io.TCFLSH, io.TCXONC):
        assert g("ioctl", slave, request, 9) == -E.EINVAL
    assert g("ioctl", slave, 0x5415, bytearray(4)) == g("ioctl", slave, 0x9999, 0) == -E.ENOTTY
    assert (number(g, slave, io.TIOCGETD), number(g, slave, io.TIOCOUTQ)) == (0, 0)
    assert g("ioctl", slave, io.TIOCSETD, b"\x63\0\0\0") == -E.EINVAL
    assert number(g, slave, io.TIOCGPGRP) == number(g, slave, io.TIOCGSID) == -E.ENOTTY
    assert (number(g, master, io.TIOCGPGRP), number(g, master, io.TIOCGSID)) == (0, -E.ENOTTY)
    assert g("ioctl", slave, io.TIOCSPGRP, bytes(4)) == g("ioctl", slave, io.TIOCNOTTY, 0) == -E.ENOTTY
    assert g("ioctl", master, io.TIOCSIG, 9) == -E.EINVAL
    assert g("ioctl", slave, io.TCSBRK, 1) == g("ioctl", slave, io.TCSBRKP, 0) == 0
    assert (g("ioctl", slave, io.TIOCEXCL, 0), number(g, slave, io.TIOCGEXCL)) == (0, 1)
    assert (g("ioctl", slave, io.TIOCNXCL, 0), number(g, slave, io.TIOCGEXCL)) == (0, 0)


def test_size(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    size = bytearray(8)
    assert g("ioctl", slave, io.TIOCGWINSZ, size) == 0
    assert not any(size)
    assert g("ioctl", master, io.TIOCSWINSZ, t.WINSIZE.pack(24, 80, 1, 2)) == 0
    assert g("ioctl", slave, io.TIOCGWINSZ, size) == 0
    assert t.WINSIZE.unpack(size) == (24, 80, 1, 2)


def test_canonical_lines(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    assert read(g, slave, 9) == -E.EAGAIN
    assert typed(g, master, slave, b"abc") == b"abc"
    assert (read(g, slave, 9), events(g, slave), number(g, slave, io.FIONREAD)) == (-E.EAGAIN, OUT, 0)
    assert typed(g, master, slave, b"\x7f\x7fd\rsecond\n") == b"\b \b\b \bd\r\nsecond\r\n"
    assert (events(g, slave), number(g, slave, io.FIONREAD)) == (IN | OUT, 10)
    assert [read(g, slave, 2), read(g, slave, 99), read(g, slave, 99)] == [b"ad", b"\n", b"second\n"]
    typed(g, master, slave, b"part\x04")
    assert number(g, slave, io.FIONREAD) == 4
    assert [read(g, slave, 99), read(g, slave, 99)] == [b"part", -E.EAGAIN]
    typed(g, master, slave, b"part\x04\x04")
    assert [read(g, slave, 4), read(g, slave, 99), read(g, slave, 99)] == [b"part", b"", -E.EAGAIN]
    assert typed(g, master, slave, b"one two\x17x\x15\x16\x03\x12\n") == (
        b"one two\b \b\b \b\b \bx" + b"\b \b" * 5 + b"^\b^C^R\r\n^C\r\n"
    )
    assert read(g, slave, 99) == b"\x03\n"


def test_a_line_that_is_too_long(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    change(g, slave, off=(0, 0, t.ECHO))
    for _ in range(50):
        assert write(g, master, b"x" * 100) == 100
        settle(g, slave, master)
    write(g, master, b"y\n")
    settle(g, slave)
    line = read(g, slave, 9999)
    assert (len(line), line[-2:]) == (4096, b"x\n")


def test_raw_input(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    raw_mode(g, slave)
    assert typed(g, master, slave, b"a\r\n\x03\x04\xff") == -E.EAGAIN
    assert number(g, slave, io.FIONREAD) == 6
    assert [read(g, slave, 2), read(g, slave, 99), read(g, slave, 99)] == [b"a\r", b"\n\x03\x04\xff", -E.EAGAIN]
    raw_mode(g, slave, 0)
    assert read(g, slave, 9) == b"", "nothing, and that at once"
    raw_mode(g, slave, 5)
    write(g, master, b"abc")
    settle(g, slave)
    assert events(g, slave) == OUT
    write(g, master, b"de")
    settle(g, slave)
    assert events(g, slave) == IN | OUT
    assert read(g, slave, 99) == b"abcde"


def test_leaving_canonical_mode(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    typed(g, master, slave, b"line\nrest\x04more")
    raw_mode(g, slave)
    assert read(g, slave, 99) == b"line\nrest\0more"
    typed(g, master, slave, b"xyz")
    change(g, slave, on=(0, 0, t.ICANON))
    assert read(g, slave, 99) == b"xyz"


def test_output(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)

    def shown(data: bytes) -> bytes | int:
        assert write(g, slave, data) == len(data)
        settle(g, master)
        return read(g, master, 999)

    assert shown(b"a\nb\tc\r\n") == b"a\r\nb\tc\r\r\n"
    change(g, slave, on=(0, t.XTABS | t.OLCUC, 0))
    assert shown(b"ab\tc\n\t|") == b"AB      C\r\n        |"
    change(g, slave, on=(0, t.OCRNL, 0), off=(0, t.ONLCR | t.XTABS | t.OLCUC, 0))
    assert shown(b"a\r\n") == b"a\n\n"
    change(g, slave, off=(0, t.OPOST, 0))
    assert shown(b"a\r\n") == b"a\r\n"


def test_flow(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    assert typed(g, master, slave, b"\x13") == -E.EAGAIN
    assert (write(g, slave, b"x"), events(g, slave)) == (-E.EAGAIN, 0)
    assert typed(g, master, slave, b"later\x11") == b"later"
    assert (write(g, slave, b"x"), events(g, slave)) == (1, OUT)
    assert g("ioctl", slave, io.TCXONC, t.TCOOFF) == 0
    assert write(g, slave, b"y") == -E.EAGAIN
    assert g("ioctl", slave, io.TCXONC, t.TCOON) == 0
    assert write(g, slave, b"y") == 1
    assert g("ioctl", slave, io.TCXONC, t.TCIOFF) == 0
    settle(g, master)
    seen = b""
    while isinstance(more := read(g, master, 9), bytes):
        seen += more
        settle(g, master)
    assert seen == b"xy\x13"


def test_flushing(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    typed(g, master, slave, b"line\nrest")
    assert g("ioctl", slave, io.TCFLSH, t.TCIFLUSH) == 0
    assert typed(g, master, slave, b"new\n") == b"new\r\n"
    assert read(g, slave, 99) == b"new\n"


def test_packets(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    assert g("ioctl", master, io.TIOCPKT, b"\1\0\0\0") == 0
    assert number(g, master, io.TIOCGPKT) == 1
    write(g, slave, b"abc")
    settle(g, master)
    assert [read(g, master, 3), read(g, master, 9), read(g, master, 9)] == [b"\0ab", b"\0c", -E.EAGAIN]
    g("ioctl", slave, io.TCFLSH, t.TCIFLUSH)
    assert events(g, master) & (po.POLLPRI | po.POLLIN) == po.POLLPRI | po.POLLIN
    assert read(g, master, 9) == bytes((t.TIOCPKT_FLUSHREAD,))
    change(g, slave, off=(t.IXON, 0, 0))
    assert read(g, master, 9) == bytes((t.TIOCPKT_NOSTOP,))
    change(g, slave, on=(t.IXON, 0, 0))
    assert read(g, master, 9) == bytes((t.TIOCPKT_DOSTOP,))
    write(g, master, b"\x13")
    settle(g, slave, slave)
    assert read(g, master, 9) == bytes((t.TIOCPKT_STOP,))


def test_epoll(d: AnyGuest) -> None:
    g = d
    master, slave = open_pair(g)
    ep = g("epoll_create1", 0)
    assert control(g, ep, 1, master, po.POLLIN | 1 << 31, 7) == 0
    assert wait(g, ep) == []
    write(g, slave, b"x")
    assert wait(g, ep, timeout=1000 if isinstance(g, HostGuest) else 0) == [(po.POLLIN, 7)]
    assert wait(g, ep) == []
    g("close", slave)
    assert wait(g, ep, timeout=1000 if isinstance(g, HostGuest) else 0) == [(po.POLLIN | po.POLLHUP, 7)]
    assert (read(g, master, 9), read(g, master, 9)) == (b"x", -E.EIO)


# -- any settings, any keys ---------------------------------------------------------------------------------------

_IFLAGS = (t.PARMRK, t.ISTRIP, t.INLCR, t.IGNCR, t.ICRNL, t.IUCLC, t.IXON, t.IXANY, t.IUTF8)
_OFLAGS = (t.OPOST, t.OPOST, t.OLCUC, t.ONLCR, t.OCRNL, t.ONOCR, t.ONLRET, t.XTABS)
_LFLAGS = (
    t.ISIG, t.ICANON, t.ICANON, t.ECHO, t.ECHO, t.ECHOE, t.ECHOK, t.ECHONL, t.NOFLSH, t.ECHOCTL, t.ECHOPRT, t.ECHOKE,
    t.IEXTEN,
)  # fmt: skip
_KEYS = b"aZ_ 9\t\n\r\x7f\x15\x17\x16\x12\x04\x03\x1a\x1c\x13\x11\xff\xc3\xa9\x01;|"


def _some(rng: random.Random, flags: tuple[int, ...]) -> int:
    chosen = 0
    for flag in flags:
        chosen |= flag if rng.random() < 0.55 else 0
    return chosen


def _session(g: AnyGuest, seed: int) -> list[object]:
    """What a random session shows; the host is given time to move bytes."""
    rng = random.Random(seed)
    pause = (lambda: time.sleep(0.0007)) if isinstance(g, HostGuest) else (lambda: None)
    master, slave = open_pair(g)
    seen: list[object] = []
    for _ in range(rng.randrange(1, 4)):
        characters = bytearray(t.INIT_C_CC)
        characters[t.VEOL] = rng.choice((0, 59))
        characters[t.VEOL2] = rng.choice((0, 124))
        new = (_some(rng, _IFLAGS), _some(rng, _OFLAGS), 0xBF, _some(rng, _LFLAGS), 0, bytes(characters))
        seen.append(g("ioctl", slave, io.TCSETS, t.TERMIOS.pack(*new)))
        for _ in range(rng.randrange(1, 7)):
            step = rng.randrange(4)
            data = bytes(rng.choice(_KEYS) for _ in range(rng.randrange(1, 12)))
            if step < 2:
                seen.append(write(g, master, data))
            elif step == 2:
                seen.append(write(g, slave, data))
            else:
                seen.append(read(g, slave, rng.randrange(1, 9)))
            pause()
            for fd in (slave, master, slave, master):
                events(g, fd)
            pause()
            seen += [number(g, slave, io.FIONREAD), read(g, master, 999)]
    g("ioctl", slave, io.TCXONC, t.TCOON)
    seen += [read(g, slave, 9999) for _ in range(4)]
    g("close", slave)
    g("close", master)
    return seen


@pytest.mark.skipif(sys.platform != "linux", reason="compares with Linux")
def test_random_sessions() -> None:
    host, ours = HostGuest(), with_devices(Bench().guest())
    for seed in range(250):
        wanted = _session(ours, seed)
        # the host moves bytes in a thread of its own: what it shows may depend on when that runs
        assert any(_session(host, seed) == wanted for _ in range(4)), seed
    assert ours.bench.kernel.internal_errors == 0


# -- what one write may cost ------------------------------------------------------------------------------------------


class Counted:
    """Counts the calls of a function."""

    def __init__(self, function: Callable[..., object]) -> None:
        self.calls = 0
        self._function = function

    def __get__(self, instance: object, owner: type) -> Callable[..., object]:
        return partial(self, instance)

    def __call__(self, *arguments: object, **options: object) -> object:
        self.calls += 1
        return self._function(*arguments, **options)


@pytest.fixture
def ours() -> Guest:
    return with_devices(Bench().guest())


def test_a_line_that_is_too_long_has_an_end(ours: Guest) -> None:
    """Each \\377 is two bytes with PARMRK, and one was dropped to make room for it."""
    master, slave = open_pair(ours)
    change(ours, slave, on=(t.PARMRK, 0, 0), off=(t.ICRNL, 0, t.ECHO))
    for _ in range(4):
        assert write(ours, master, b"\xff" * 4096) == 4096
    assert len(ours.task.files.get(slave).tty.discipline.buffer) <= SIZE + 2
    assert write(ours, master, b"\n") == 1
    assert read(ours, slave, 8192)[-1:] == b"\n"


def test_a_key_that_is_pressed_a_thousand_times_at_once(ours: Guest, monkeypatch: pytest.MonkeyPatch) -> None:
    """The work is that of the bytes, not of the bytes times the line or the processes."""
    master, slave = open_pair(ours)
    change(ours, slave, on=(t.IUTF8, 0, 0))
    for name in ("_echo", "_continues"):
        monkeypatch.setattr(LineDiscipline, name, Counted(getattr(LineDiscipline, name)))
    echo, continues = vars(LineDiscipline)["_echo"], vars(LineDiscipline)["_continues"]
    write(ours, master, b"\x80" * 4000)
    echo.calls = continues.calls = 0
    write(ours, master, b"\x12" * 1000)  # VREPRINT
    assert echo.calls <= 20 * SIZE
    read(ours, master, 16384)
    continues.calls = 0
    write(ours, master, b"\x7f" * 1000)  # VERASE
    assert continues.calls <= 4000
    posted = Counted(terminal.post_group)
    monkeypatch.setattr(terminal, "post_group", posted)
    woken = []
    tty = ours.task.files.get(slave).tty
    tty.write_queue.watch("test", lambda: woken.append(1))
    write(ours, master, b"\x03\x1c" * 500)  # VINTR, VQUIT
    write(ours, master, b"\x13\x11" * 500)  # VSTOP, VSTART
    assert posted.calls == 2
    assert 1 <= len(woken) <= 4
