# signal with threads and children: queued values, masks, timers of every kind, faults, interrupted calls, itimers, wake-ups.
import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading
import time

seen = []
for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN, signal.SIGRTMIN + 1):
    signal.signal(number, lambda got, _: seen.append(got))
    signal.raise_signal(number)
print(seen == [10, 12, signal.SIGRTMIN, signal.SIGRTMIN + 1])
seen.clear()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1, signal.SIGUSR2, signal.SIGRTMIN, signal.SIGRTMIN + 1})
for number in (signal.SIGRTMIN + 1, signal.SIGUSR2, signal.SIGRTMIN, signal.SIGRTMIN, signal.SIGUSR1, signal.SIGUSR1):
    os.kill(os.getpid(), number)
print(sorted(signal.sigpending()) == [10, 12, signal.SIGRTMIN, signal.SIGRTMIN + 1])
print([signal.sigwaitinfo(signal.sigpending()).si_signo for _ in range(5)] == [10, 12, signal.SIGRTMIN, signal.SIGRTMIN, signal.SIGRTMIN + 1])
info = os.fork() or (os.kill(os.getppid(), signal.SIGUSR1), os._exit(5))
got = signal.sigwaitinfo({signal.SIGUSR1})
print(got.si_pid == info, got.si_code, got.si_uid == os.getuid(), os.waitpid(info, 0)[1] >> 8)
print(signal.sigtimedwait({signal.SIGUSR1}, 0.01))
os.kill(os.getpid(), signal.SIGUSR1)
signal.pthread_sigmask(signal.SIG_SETMASK, set())
print(seen, signal.pthread_sigmask(signal.SIG_BLOCK, []))

# A thread that is meant, a thread that waits, and the main one that is interrupted.
seen.clear()
ident = threading.main_thread().ident
threading.Timer(0.02, lambda: signal.pthread_kill(ident, signal.SIGUSR1)).start()
before = time.monotonic()
time.sleep(0.1)
print(seen, time.monotonic() - before >= 0.1)
r, w = os.pipe()
threading.Timer(0.02, lambda: os.kill(os.getpid(), signal.SIGUSR2)).start()
threading.Timer(0.06, lambda: os.write(w, b"x")).start()
print(os.read(r, 1), seen)


class Stop(Exception):
    pass


def stop(*_):
    raise Stop


signal.signal(signal.SIGALRM, stop)
for wait in (lambda: time.sleep(5), lambda: os.read(r, 1), lambda: select.select([r], [], [], 5), lambda: select.epoll().poll(5),
             lambda: signal.pause(), lambda: signal.sigwaitinfo([signal.SIGHUP]), lambda: threading.Lock().acquire() and threading.Event().wait(5)):
    signal.setitimer(signal.ITIMER_REAL, 0.01)
    try:
        wait()
    except Stop:
        print("stopped", signal.getitimer(signal.ITIMER_REAL))
ticks = []
signal.signal(signal.SIGALRM, lambda *_: ticks.append(1))
signal.setitimer(signal.ITIMER_REAL, 0.005, 0.005)
while len(ticks) < 5:
    signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)
for which, number in ((signal.ITIMER_VIRTUAL, signal.SIGVTALRM), (signal.ITIMER_PROF, signal.SIGPROF)):
    ticks.clear()
    signal.signal(number, lambda *_: ticks.append(1))
    signal.setitimer(which, 0.01, 0.01)
    while len(ticks) < 3:
        sum(range(1000))
    signal.setitimer(which, 0)
    print(number.name, len(ticks) >= 3)
waker, reader = os.pipe()[::-1]
os.set_blocking(waker, False)
signal.set_wakeup_fd(waker)
os.kill(os.getpid(), signal.SIGUSR2)
print(os.read(reader, 9), signal.siginterrupt(signal.SIGUSR1, True))

# Deaths: by a fault, by default, with a dump of the stack.
def dies(body):
    pid = os.fork()
    if pid == 0:
        os.close(2)
        body()
        os._exit(0)
    return signal.Signals(-os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).name


print(dies(lambda: ctypes.string_at(0)), dies(lambda: ctypes.string_at(1 << 62)), dies(os.abort))
print(dies(lambda: faulthandler._sigfpe()), dies(lambda: os.kill(os.getpid(), signal.SIGRTMAX)))
print(dies(lambda: (faulthandler.enable(open("dump", "w")), faulthandler._sigsegv())), "Fatal Python error" in open("dump").read())
old = signal.signal(signal.SIGINT, signal.SIG_IGN)
os.kill(os.getpid(), signal.SIGINT)
print(old is signal.default_int_handler, signal.getsignal(signal.SIGINT) == signal.SIG_IGN, len(signal.valid_signals()))
signal.signal(signal.SIGINT, old)
storm = []
signal.signal(signal.SIGRTMIN, lambda *_: storm.append(1))
pid = os.fork()
if pid == 0:
    for _ in range(500):
        os.kill(os.getppid(), signal.SIGRTMIN)
    os._exit(0)
os.waitpid(pid, 0)
print(len(storm) > 0)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGINT)
