import fcntl, os

f = open("l", "w")
fcntl.flock(f, fcntl.LOCK_EX)
g = open("l")
try:
    fcntl.flock(g, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    print("locked")
fcntl.lockf(f, fcntl.LOCK_EX)
pid = os.fork()
if pid == 0:
    try:
        fcntl.lockf(f, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as e:
        os._exit(e.errno)
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
