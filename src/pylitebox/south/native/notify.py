"""The seccomp notification descriptor (linux/seccomp.h): receive, answer, continue, inject a descriptor."""

import errno
import fcntl
import struct

from pylitebox.abi import errno as E
from pylitebox.kernel.errors import KernelError

_RECV = 0xC0502100
_SEND = 0xC0182101
_ID_VALID = 0x40082102
_ADDFD = 0x40182103
_SET_FLAGS = 0x40082104
_FLAG_CONTINUE = 1
_FD_SYNC_WAKE_UP = 1
_O_CLOEXEC = 0o2000000

#: struct seccomp_notif: id, pid, flags, data (nr, arch, instruction pointer, six arguments).
_NOTIF = struct.Struct("<QIIiIQ6Q")
_HEAD, _ARGS = struct.Struct("<QI4xi"), struct.Struct("<6Q")
_ARGS_OFFSET = 32
_RESPONSE = struct.Struct("<QqiI")
_ADD = struct.Struct("<QIIII")
_ID = struct.Struct("<Q")
_ZERO = bytes(_NOTIF.size)

_ioctl = fcntl.ioctl
_unpack_head, _unpack_args = _HEAD.unpack_from, _ARGS.unpack_from
_pack_response = _RESPONSE.pack_into


class Listener:
    """One notification descriptor. A thread that ended meanwhile makes an answer fail; that is no error here."""

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self.args: tuple[int, ...] = (0, 0, 0, 0, 0, 0)
        self._notif = bytearray(_NOTIF.size)
        self._response = bytearray(_RESPONSE.size)
        self._add = bytearray(_ADD.size)
        try:
            _ioctl(fd, _SET_FLAGS, _FD_SYNC_WAKE_UP)
            self.sync_wake_up = True
        except OSError:  # before Linux 6.6
            self.sync_wake_up = False

    def receive(self) -> tuple[int, int, int] | None:
        """(id, tid, number) of a call whose arguments are in :attr:`args`, or None if the caller is gone."""
        notif = self._notif
        notif[:] = _ZERO  # the host insists
        try:
            _ioctl(self.fd, _RECV, notif)
        except OSError as error:
            if error.errno in (errno.ENOENT, errno.EINTR):
                return None
            raise
        self.args = _unpack_args(notif, _ARGS_OFFSET)
        return _unpack_head(notif)

    def send(self, ident: int, result: int) -> bool:
        """Finish a call with ``result`` (negative: an errno); False if its thread is gone."""
        try:
            _pack_response(self._response, 0, ident, result, 0, 0)
        except struct.error:  # no register holds that: an error of ours must not end the sandbox
            _pack_response(self._response, 0, ident, -E.EIO, 0, 0)
        try:
            _ioctl(self.fd, _SEND, self._response)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def resume(self, ident: int) -> bool:
        """Let the host run the call itself (only where that depends on registers alone)."""
        _pack_response(self._response, 0, ident, 0, 0, _FLAG_CONTINUE)
        try:
            _ioctl(self.fd, _SEND, self._response)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def valid(self, ident: int) -> bool:
        """Whether the thread behind a notification still waits for it."""
        try:
            _ioctl(self.fd, _ID_VALID, _ID.pack(ident))
        except OSError:
            return False
        return True

    def inject(self, ident: int, fd: int) -> int:
        """Copy a descriptor into the caller's table; its number there.

        Raises KernelError(EMFILE) when the host refuses: the call must then be denied. The host's flag that makes the
        number the answer as well would save a hand-over, but loses the descriptor if a stop or a freezer interrupts us:
        the caller goes on with 0 then."""
        _ADD.pack_into(self._add, 0, ident, 0, fd, 0, _O_CLOEXEC)
        while True:
            try:
                number: int = _ioctl(self.fd, _ADDFD, self._add)
            except InterruptedError:
                continue
            except OSError as error:
                raise KernelError(E.EMFILE) from error
            return number
