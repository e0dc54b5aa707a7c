# fcntl: record locks between processes, with waiting, deadlock, conversion and release; open-file-description locks; flock; pipes.
import errno
import fcntl
import os
import signal
import struct

f = open("locked", "w+")
f.write("x" * 100)
f.flush()


def in_child(body):
    pid = os.fork()
    if pid == 0:
        try:
            os._exit(body() or 0)
        except OSError as error:
            os._exit(100 + error.errno)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def get(kind, start, size, cmd=fcntl.F_GETLK, file=None):
    kind, whence, start, size, pid = struct.unpack("hhqqi4x", fcntl.fcntl(file or f, cmd, struct.pack("hhqqi4x", kind, 0, start, size, 0)))
    return kind, start, size, pid


def set_(kind, start, size, cmd, file=None):
    fcntl.fcntl(file or f, cmd, struct.pack("hhqqi4x", kind, 0, start, size, 0))


fcntl.lockf(f, fcntl.LOCK_EX, 10, 20)
print(in_child(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 5, 25)), errno.EAGAIN)
print(in_child(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 20, 0)))
print(in_child(lambda: get(fcntl.F_WRLCK, 0, 0)[:3] != (fcntl.F_WRLCK, 20, 10)), get(fcntl.F_WRLCK, 0, 0)[0] == fcntl.F_UNLCK)
print(in_child(lambda: get(fcntl.F_RDLCK, 0, 0)[3] != os.getppid()))
fcntl.lockf(f, fcntl.LOCK_UN, 4, 23)  # two are left
fcntl.lockf(f, fcntl.LOCK_SH, 3, 20)
print(in_child(lambda: fcntl.lockf(f, fcntl.LOCK_SH | fcntl.LOCK_NB, 7, 20)) - 0, in_child(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, 28)))

# Who waits gets it when it is released, or is interrupted.
r, w = os.pipe()
pid = os.fork()
if pid == 0:
    os.write(w, b"w")
    fcntl.lockf(f, fcntl.LOCK_EX, 1, 28)
    os.write(w, b"l")
    os._exit(0)
print(os.read(r, 1))
fcntl.lockf(f, fcntl.LOCK_UN)
print(os.read(r, 1), os.waitpid(pid, 0)[1])
fcntl.lockf(f, fcntl.LOCK_EX)


def interrupted():
    def raising(*_):
        raise InterruptedError(errno.EINTR, "alarm")

    signal.signal(signal.SIGALRM, raising)
    signal.setitimer(signal.ITIMER_REAL, 0.02)
    fcntl.lockf(f, fcntl.LOCK_SH)


print(in_child(interrupted) == 100 + errno.EINTR)
open("locked").close()  # any close of the file releases all of the process's locks
print(in_child(lambda: fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)))

# A deadlock is seen by the second.
fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)
pid = os.fork()
if pid == 0:
    fcntl.lockf(f, fcntl.LOCK_EX, 1, 1)
    os.write(w, b"2")
    try:
        fcntl.lockf(f, fcntl.LOCK_EX, 1, 0)
        os._exit(0)
    except OSError as error:
        os._exit(error.errno)
os.read(r, 1)
try:
    fcntl.lockf(f, fcntl.LOCK_EX, 1, 1)
    mine = 0
except OSError as error:
    mine = error.errno
    fcntl.lockf(f, fcntl.LOCK_UN)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
print(sorted([mine, status]) == [0, errno.EDEADLK])
fcntl.lockf(f, fcntl.LOCK_UN)

# Locks of open file descriptions: between two descriptors of one process, and shared by dup and fork.
g = open("locked", "r+")
set_(fcntl.F_WRLCK, 0, 10, fcntl.F_OFD_SETLK)
try:
    set_(fcntl.F_RDLCK, 5, 1, fcntl.F_OFD_SETLK, g)
except OSError as error:
    print(error.errno == errno.EAGAIN, get(fcntl.F_RDLCK, 5, 1, fcntl.F_OFD_GETLK, g))
d = os.dup(f.fileno())
set_(fcntl.F_WRLCK, 5, 1, fcntl.F_OFD_SETLK, d)
print(in_child(lambda: set_(fcntl.F_WRLCK, 5, 1, fcntl.F_OFD_SETLK)))
os.close(d)
f.close()
set_(fcntl.F_RDLCK, 5, 1, fcntl.F_OFD_SETLK, g)
h = open("locked")
fcntl.flock(g, fcntl.LOCK_SH)
fcntl.flock(h, fcntl.LOCK_SH)
try:
    fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("flock")
h.close()
fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
for cmd, value in ((fcntl.F_SETPIPE_SZ, 1 << 17), (fcntl.F_GETPIPE_SZ, 0), (fcntl.F_GETFD, 0), (fcntl.F_GETFL, 0), (fcntl.F_DUPFD_CLOEXEC, 100)):
    print(fcntl.fcntl(r, cmd, value))
for bad in (99, fcntl.F_SETLK):
    try:
        print(fcntl.fcntl(g, bad, struct.pack("hhqqi4x", 9, 0, 0, 0, 0)))
    except OSError as error:
        print(error)
print(struct.unpack("i", fcntl.ioctl(r, 0x541B, bytes(4))), os.get_blocking(r))  # FIONREAD
