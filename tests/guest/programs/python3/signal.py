import signal, os, time

signal.signal(signal.SIGUSR1, lambda s, f: print("usr1"))
os.kill(os.getpid(), signal.SIGUSR1)
signal.setitimer(signal.ITIMER_REAL, 0.02)
signal.signal(signal.SIGALRM, lambda s, f: print("alarm"))
signal.pause()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR2})
os.kill(os.getpid(), signal.SIGUSR2)
print(signal.sigpending(), signal.sigwait({signal.SIGUSR2}))
print(signal.sigtimedwait({signal.SIGUSR2}, 0.01))
pid = os.fork()
if pid == 0:
    signal.pause()
os.kill(pid, signal.SIGTERM)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
try:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.raise_signal(signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
t = time.monotonic()
signal.alarm(1)
time.sleep(1.2)
print(time.monotonic() - t >= 1.19)
r, w = os.pipe()
signal.set_wakeup_fd(w, warn_on_full_buffer=False) if os.set_blocking(w, False) is None else 0
os.kill(os.getpid(), 10)
print(os.read(r, 1))
