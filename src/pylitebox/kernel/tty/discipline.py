"""The line discipline N_TTY (drivers/tty/n_tty.c, man 3 termios): what a terminal makes of the bytes that come in and
go out. Canonical mode collects lines that can be edited; else bytes are there as they come. Echoes are queued, and
written as the other end has room.

Rules: at most SIZE bytes wait to be read; a longer line loses its end, but never its newline. Signals that a key
raises are noted in ``Terminal.due``, since they may end whoever types.
Missing: breaks and parity errors (a pseudo-terminal has none), EXTPROC is remembered only.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from pylitebox.abi import signal as sg
from pylitebox.abi import termios as t

if TYPE_CHECKING:
    from pylitebox.kernel.tty.terminal import Terminal

#: Bytes that wait to be read, at most (N_TTY_BUF_SIZE), and steps of echoing that wait for room.
SIZE = 4096
#: How often a line is shown again for what came in at once: it would be a line for each byte.
_MOST_REPRINTS = 16
#: The most that one step of output or echo takes: a tab.
_STEP = 8
#: Kinds of echo: a byte through output processing, a byte as it is, ^X, the column where a line begins, going back
#: over a tab, and over a part of a character.
_CHAR, _RAW, _CONTROL, _CANON, _TAB, _BACK = range(6)
#: Bytes within a character of UTF-8.
_CONTINUING = bytes(range(0x80, 0xC0))


def is_control(c: int) -> bool:
    return c < 32 or c == 127


def _is_upper(c: int) -> bool:
    """isupper() of the kernel's table, which is Latin-1 (lib/ctype.c)."""
    return 65 <= c <= 90 or (192 <= c <= 222 and c != 215)


def _is_lower(c: int) -> bool:
    return 97 <= c <= 122 or (c >= 223 and c != 247)


def _is_word(c: int) -> bool:
    """isalnum(), and the underscore."""
    return c == 95 or 48 <= c <= 57 or _is_upper(c) or _is_lower(c)


class LineDiscipline:
    """The discipline of one terminal."""

    __slots__ = ("_canon_column", "_column", "_echoes", "_ends", "_erasing", "_literal", "_reprints", "_special",
                 "_start", "buffer", "canon_head", "tty")  # fmt: skip

    def __init__(self, tty: Terminal) -> None:
        self.tty = tty
        self.buffer = bytearray()  # what came in and was not read
        self._start = 0  # position of its first byte, counted from the beginning of time
        self.canon_head = 0  # position behind the last whole line
        self._ends: deque[int] = deque()  # positions of the ends of lines
        self._echoes: deque[tuple[int, int]] = deque(maxlen=SIZE)
        self._column = self._canon_column = 0
        self._erasing = False
        self._literal = False  # behind VLNEXT
        self._reprints = 0  # of what comes in now
        self._special = b""
        self.settings_changed(None)

    # -- settings ---------------------------------------------------------------------------------------------

    @property
    def canonical(self) -> bool:
        return bool(self.tty.lflag & t.ICANON)

    def settings_changed(self, old: tuple[int, int] | None) -> None:
        """The terminal's settings were changed; ``old``: its iflag and lflag before."""
        tty = self.tty
        if old is None or (old[1] ^ tty.lflag) & (t.ICANON | t.EXTPROC):
            self._ends.clear()
            self.canon_head = self._start
            if self.canonical and self.buffer:  # what is there can be read, as if a line ended with it
                self.canon_head += len(self.buffer)
                self._ends.append(self.canon_head - 1)
            self._erasing = self._literal = False
        special = set()
        if tty.iflag & (t.IGNCR | t.ICRNL):
            special.add(13)
        if tty.iflag & t.INLCR or self.canonical:
            special.add(10)
        names: list[int] = []
        if self.canonical:
            names += (t.VERASE, t.VKILL, t.VEOF, t.VEOL)
            if tty.lflag & t.IEXTEN:
                names += (t.VWERASE, t.VLNEXT, t.VEOL2)
                if tty.lflag & t.ECHO:
                    names.append(t.VREPRINT)
        if tty.iflag & t.IXON:
            names += (t.VSTART, t.VSTOP)
        if tty.lflag & t.ISIG:
            names += (t.VINTR, t.VQUIT, t.VSUSP)
        special.update(tty.cc[name] for name in names)
        special.discard(t.DISABLED)
        self._special = bytes(sorted(special))
        if old is not None and old[0] & ~tty.iflag & t.IXON and not tty.stopped_by_call:
            tty.start()
            self.process_echoes()

    # -- input: reading ---------------------------------------------------------------------------------------

    @property
    def waiting(self) -> int:
        """Bytes that read(2) could have now (FIONREAD)."""
        if not self.canonical:
            return len(self.buffer)
        ends = sum(not self.buffer[end - self._start] for end in self._ends)
        return self.canon_head - self._start - ends

    def available(self, least: int = 1) -> bool:
        """Whether a read has something to give: a line's end in canonical mode, else ``least`` bytes."""
        if self.canonical:
            return self.canon_head != self._start
        return len(self.buffer) >= least

    def read(self, size: int) -> bytes:
        """What there is, at most a line of it in canonical mode; b"" where VEOF was typed."""
        if not self.canonical:
            data = bytes(self.buffer[:size])
            self._drop(len(data))
            return data
        take = cut = min(size, self.canon_head - self._start)
        end = self._ends[0] - self._start if self._ends else cut
        if end < cut:
            cut = end + 1
            take = end if self.buffer[end] == t.DISABLED else cut
            self._ends.popleft()
        data = bytes(self.buffer[:take])
        self._drop(cut)
        if end >= cut and cut == size and self._ends and self._ends[0] == self._start and not self.buffer[0]:
            self._ends.popleft()  # VEOF behind a read that is full already is part of it
            self._drop(1)
        return data

    def _drop(self, count: int) -> None:
        del self.buffer[:count]
        self._start += count
        self.canon_head = max(self.canon_head, self._start)

    def flush_input(self) -> None:
        self.buffer.clear()
        self._start = self.canon_head = 0
        self._ends.clear()
        self._erasing = self._literal = False

    # -- input: receiving -------------------------------------------------------------------------------------

    def receive(self, inbox: bytearray) -> None:
        """Take as much of ``inbox`` as there is room for."""
        marks = self.tty.iflag & t.PARMRK
        self._reprints = 0
        while inbox:
            room = SIZE - len(self.buffer)
            room = (-(-room // 3) if marks else room) - 1
            if room <= 0:
                if not self.canonical or self.canon_head != self._start:
                    break
                if room < 0:  # a line that is too long: its last byte makes room for the next
                    del self.buffer[min(len(self.buffer) - 1, SIZE) :]
                room = 1
            chunk = bytes(inbox[:room])
            del inbox[:room]
            self._take(chunk)
        self.process_echoes()

    def _take(self, chunk: bytes) -> None:
        tty = self.tty
        plain = not (self._literal or self._erasing or tty.stopped or tty.iflag & (t.ISTRIP | t.IUCLC | t.PARMRK))
        if plain and len(chunk.translate(None, self._special)) == len(chunk):
            if tty.lflag & t.ECHO:
                self._echo_plain(chunk)
            self.buffer += chunk
            return
        for c in chunk:
            if self._literal:
                self._literal = False
                self._plain(self._folded(c))
                continue
            c = self._folded(c)
            if c in self._special:
                self._key(c)
            else:
                self._plain(c)

    def _folded(self, c: int) -> int:
        iflag = self.tty.iflag
        if iflag & t.ISTRIP:
            c &= 0x7F
        if iflag & t.IUCLC and self.tty.lflag & t.IEXTEN and _is_upper(c):
            c += 32
        return c

    def _echo_plain(self, chunk: bytes) -> None:
        self._mark_canon()
        for c in chunk:
            self._echo(c)

    def _plain(self, c: int) -> None:
        """A character without a meaning."""
        self._any_starts()
        if self.tty.lflag & t.ECHO:
            self._finish_erasing()
            self._mark_canon()
            self._echo(c)
        self._put(c)

    def _any_starts(self) -> None:
        tty = self.tty
        if tty.stopped and not tty.stopped_by_call and tty.iflag & t.IXON and tty.iflag & t.IXANY:
            tty.start()
            self.process_echoes()

    def _put(self, c: int) -> None:
        if c == 0xFF and self.tty.iflag & t.PARMRK:
            self.buffer.append(c)
        self.buffer.append(c)

    def _key(self, c: int) -> None:
        """A character that may mean something."""
        tty, cc = self.tty, self.tty.cc
        if tty.iflag & t.IXON and c in (cc[t.VSTART], cc[t.VSTOP]):
            if c == cc[t.VSTART]:
                tty.start()
                self.process_echoes()
            else:
                tty.stop()
            return
        if tty.lflag & t.ISIG:
            for name, signo in ((t.VINTR, sg.SIGINT), (t.VQUIT, sg.SIGQUIT), (t.VSUSP, sg.SIGTSTP)):
                if c == cc[name]:
                    self._signal(signo, c)
                    return
        self._any_starts()
        if c == 13:
            if tty.iflag & t.IGNCR:
                return
            if tty.iflag & t.ICRNL:
                c = 10
        elif c == 10 and tty.iflag & t.INLCR:
            c = 13
        if self.canonical and self._edit(c):
            return
        if tty.lflag & t.ECHO:
            self._finish_erasing()
            if c == 10:
                self._echoes.append((_CHAR, 10))
            else:
                self._mark_canon()
                self._echo(c)
        self._put(c)

    def _signal(self, signo: int, c: int) -> None:
        tty = self.tty
        tty.due[tty.group, signo] = None
        if not tty.lflag & t.NOFLSH:
            self._echoes.clear()
            tty.flush_output()
            self.flush_input()
            tty.tell_packet(t.TIOCPKT_FLUSHREAD)
        if tty.iflag & t.IXON:
            tty.start()
        if tty.lflag & t.ECHO:
            self._echo(c)
        else:
            self.process_echoes()

    def _edit(self, c: int) -> bool:
        """A key of canonical mode; False if it is a character like others."""
        tty, cc = self.tty, self.tty.cc
        extended = tty.lflag & t.IEXTEN
        if c and (c in (cc[t.VERASE], cc[t.VKILL]) or (c == cc[t.VWERASE] and extended)):
            self._erase(c)
        elif c and c == cc[t.VLNEXT] and extended:
            self._literal = True
            if tty.lflag & t.ECHO:
                self._finish_erasing()
                if tty.lflag & t.ECHOCTL:
                    self._echoes += ((_CHAR, 94), (_CHAR, 8))
        elif c and c == cc[t.VREPRINT] and tty.lflag & t.ECHO and extended:
            self._finish_erasing()
            self._echo(c)
            self._echoes.append((_CHAR, 10))
            self._reprints += 1
            if self._reprints <= _MOST_REPRINTS:
                for old in self.buffer[self.canon_head - self._start :]:
                    self._echo(old)
        elif c == 10:
            if tty.lflag & (t.ECHO | t.ECHONL):
                self._echoes.append((_CHAR, 10))
            self._end_line(10)
        elif c and c == cc[t.VEOF]:
            self._end_line(t.DISABLED)
        elif c and (c == cc[t.VEOL] or (c == cc[t.VEOL2] and extended)):
            if tty.lflag & t.ECHO:
                self._mark_canon()
                self._echo(c)
            if c == 0xFF and tty.iflag & t.PARMRK:
                self.buffer.append(c)
            self._end_line(c)
        else:
            return False
        return True

    def _end_line(self, c: int) -> None:
        self._ends.append(self._start + len(self.buffer))
        self.buffer.append(c)
        self.canon_head = self._start + len(self.buffer)

    # -- editing ----------------------------------------------------------------------------------------------

    def _erase(self, key: int) -> None:
        """VERASE takes a character, VWERASE a word, VKILL the line."""
        tty, cc, buffer = self.tty, self.tty.cc, self.buffer
        begin = self.canon_head - self._start
        if len(buffer) == begin:
            return
        one, word = key == cc[t.VERASE], key == cc[t.VWERASE]
        if not one and not word:
            if not tty.lflag & t.ECHO:
                del buffer[begin:]
                return
            if tty.lflag & (t.ECHOK | t.ECHOKE | t.ECHOE) != t.ECHOK | t.ECHOKE | t.ECHOE:
                del buffer[begin:]
                self._finish_erasing()
                self._echo(key)
                if tty.lflag & t.ECHOK:
                    self._echoes.append((_CHAR, 10))
                return
        letters = False
        while len(buffer) > begin:
            head = len(buffer) - 1
            if self._continues(buffer[head]):
                head = max(begin, begin + len(buffer[begin:].rstrip(_CONTINUING)) - 1)
            c = buffer[head]
            if self._continues(c):
                break  # never a part of a character
            if word and not one:
                if _is_word(c):
                    letters = True
                elif letters:
                    break
            rest = bytes(buffer[head + 1 :])
            del buffer[head:]
            if tty.lflag & t.ECHO:
                self._echo_erased(c, rest, one=one)
            if one:
                break
        if len(buffer) == begin and tty.lflag & t.ECHO:
            self._finish_erasing()

    def _continues(self, c: int) -> bool:
        return bool(self.tty.iflag & t.IUTF8) and c & 0xC0 == 0x80

    def _echo_erased(self, c: int, rest: bytes, *, one: bool) -> None:
        lflag = self.tty.lflag
        if lflag & t.ECHOPRT:
            if not self._erasing:
                self._echoes.append((_CHAR, 92))
                self._erasing = True
            self._echo(c)
            for byte in rest:
                self._echoes += ((_CHAR, byte), (_BACK, 0))
        elif one and not lflag & t.ECHOE:
            self._echo(self.tty.cc[t.VERASE])
        elif c == 9:
            self._echo_erased_tab()
        else:
            back = ((_CHAR, 8), (_CHAR, 32), (_CHAR, 8))
            if is_control(c) and lflag & t.ECHOCTL:
                self._echoes += back
            if not is_control(c) or lflag & t.ECHOCTL:
                self._echoes += back

    def _echo_erased_tab(self) -> None:
        """Count the columns since the tab before, or since the line's first character."""
        columns, after_tab = 0, False
        for c in reversed(self.buffer[self.canon_head - self._start :]):
            if c == 9:
                after_tab = True
                break
            if is_control(c):
                columns += 2 if self.tty.lflag & t.ECHOCTL else 0
            elif not self._continues(c):
                columns += 1
        self._echoes.append((_TAB, columns & 7 | (0x80 if after_tab else 0)))

    def _finish_erasing(self) -> None:
        if self._erasing:
            self._echoes.append((_CHAR, 47))
            self._erasing = False

    # -- echo and output --------------------------------------------------------------------------------------

    def _mark_canon(self) -> None:
        if self.canon_head == self._start + len(self.buffer):
            self._echoes.append((_CANON, 0))

    def _echo(self, c: int) -> None:
        if c == 0xFF:
            self._echoes.append((_RAW, c))
        elif self.tty.lflag & t.ECHOCTL and is_control(c) and c != 9:
            self._echoes.append((_CONTROL, c))
        else:
            self._echoes.append((_CHAR, c))

    def process_echoes(self) -> None:
        """Write what is to be echoed, as far as there is room."""
        echoes = self._echoes
        if not echoes:
            return
        room, out = self.tty.room(), bytearray()
        while echoes and room - len(out) >= _STEP:
            kind, c = echoes.popleft()
            if kind == _CHAR:
                out += self._converted(c) if self.tty.oflag & t.OPOST else bytes((c,))
            elif kind == _CONTROL:
                out += bytes((94, c ^ 0o100))
                self._column += 2
            elif kind == _RAW:
                out.append(c)
                self._column += 1
            elif kind == _CANON:
                self._canon_column = self._column
            elif kind == _BACK:
                self._column = max(0, self._column - 1)
            else:
                back = 8 - ((c if c & 0x80 else c + self._canon_column) & 7)
                out += b"\b" * back
                self._column = max(0, self._column - back)
        if out:
            self.tty.put(bytes(out))

    def _converted(self, c: int) -> bytes:
        """One byte after output processing (OPOST)."""
        oflag = self.tty.oflag
        if c == 10:
            if oflag & t.ONLRET:
                self._column = 0
            if oflag & t.ONLCR:
                self._canon_column = self._column = 0
                return b"\r\n"
            self._canon_column = self._column
        elif c == 13:
            if oflag & t.ONOCR and not self._column:
                return b""
            if not oflag & t.OCRNL or oflag & t.ONLRET:
                self._canon_column = self._column = 0
            if oflag & t.OCRNL:
                c = 10
        elif c == 9:
            spaces = 8 - (self._column & 7)
            self._column += spaces
            if oflag & t.TABDLY == t.XTABS:
                return b" " * spaces
        elif c == 8:
            self._column = max(0, self._column - 1)
        elif not is_control(c):
            if oflag & t.OLCUC and _is_lower(c):
                c -= 32
            if not self._continues(c):
                self._column += 1
        return bytes((c,))

    def write(self, data: bytes) -> int:
        """Write as much as there is room for."""
        self.process_echoes()
        tty = self.tty
        room = tty.room()
        if not tty.oflag & t.OPOST:
            tty.put(data[:room])
            return min(len(data), room)
        done, out = 0, bytearray()
        if tty.oflag & (t.OLCUC | t.OCRNL | t.ONOCR | t.ONLRET) or tty.oflag & t.TABDLY == t.XTABS or room < 2 * _STEP:
            for c in data:
                if room - len(out) < (_STEP if c == 9 and tty.oflag & t.TABDLY else 2 if c == 10 else 1):
                    break
                out += self._converted(c)
                done += 1
        else:  # the usual settings, a line at a time
            piece = data[:room]
            if len(piece) + piece.count(10) > room:
                piece = piece[: room // 2]
            done = len(piece)
            out += piece.replace(b"\n", b"\r\n") if tty.oflag & t.ONLCR else piece
            for c in piece[max(piece.rfind(10), piece.rfind(13), 0) :]:
                self._converted(c)
        if out:
            tty.put(bytes(out))
        return done
