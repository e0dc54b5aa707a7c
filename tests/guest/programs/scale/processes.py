"""1,000 processes alive at once, which all know of the others, and end together."""
import os, signal
COUNT = 1000
ready, go, group = os.pipe(), os.pipe(), 0
pids = []
for i in range(COUNT):
    pid = os.fork()
    if not pid:
        os.close(go[1])
        os.write(ready[1], b"x")
        os.read(go[0], 1)
        os._exit(i % 251)
    pids.append(pid)
    group = group or pid
    if i < 100:
        os.setpgid(pid, group)
count = 0
while count < COUNT:
    count += len(os.read(ready[0], 4096))
print(len(set(pids)), set(map(str, pids)) <= set(os.listdir("/proc")))
print(sum(open(f"/proc/{pid}/stat").read().split()[3] == str(os.getpid()) for pid in pids))
os.killpg(group, signal.SIGSTOP)
print({os.waitpid(pid, os.WUNTRACED)[1] for pid in pids[:100]})
os.killpg(group, signal.SIGCONT)
print({os.waitpid(pid, os.WCONTINUED)[1] for pid in pids[:100]})
os.killpg(group, signal.SIGTERM)
print({os.waitpid(pid, 0)[1] for pid in pids[:100]})
os.close(go[1])
print(sum(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids[100:]))
