# What /proc says of a process and of its descriptors.
import ctypes, fcntl, mmap, os, re, select, signal, socket, subprocess, sys, threading

def fdinfo(fd):
    text = open(f"/proc/self/fdinfo/{fd}").read()
    text = re.sub(r"(mnt_id|ino|Pid|NSpid|tfd|it_value):.*", r"\1", text)
    return re.sub(r"\d+:\d+:\d+", "dev", re.sub(r"eventfd-id: \d+", "eventfd-id", text)).split("\n")

e = os.eventfd(5, os.EFD_NONBLOCK)
epoll = select.epoll()
r, w = os.pipe()
print(fdinfo(e)[:2], [line.split(":")[0] for line in fdinfo(e)])
print(fdinfo(r)[:2], fdinfo(w)[:2])
pidfd = os.pidfd_open(os.getpid())
print([line.split(":")[0] for line in fdinfo(pidfd)])
print([os.readlink(f"/proc/self/fd/{fd}").split(":")[0] for fd in (e, epoll.fileno(), r, pidfd)])
with open("locked", "w+b") as file:
    file.write(b"0123456789")
    file.flush()
    fcntl.flock(file, fcntl.LOCK_EX)
    print(fdinfo(file.fileno())[:2])

def status(path="/proc/self/status"):
    return dict(line.rstrip("\n").split(":\t", 1) for line in open(path) if ":\t" in line)

signal.signal(signal.SIGUSR1, lambda *a: None)
signal.signal(signal.SIGUSR2, signal.SIG_IGN)
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGRTMIN})
os.kill(os.getpid(), signal.SIGTERM)
signal.raise_signal(signal.SIGRTMIN)
os.umask(0o27)
s = status()
for name in ("Umask", "State", "TracerPid", "Threads", "SigPnd", "ShdPnd", "SigBlk", "CoreDumping", "NoNewPrivs", "Kthread"):
    print(name, s[name].strip())
print(int(s["SigIgn"], 16) >> 11 & 1, int(s["SigCgt"], 16) >> 9 & 1, s["Tgid"] == s["Pid"] == s["NSpid"], int(s["VmRSS"].split()[0]) > 1000)
print(int(s["VmRSS"].split()[0]) < int(s["VmSize"].split()[0]), s["SigQ"].split("/")[0] != "0", int(s["voluntary_ctxt_switches"]) >= 0)

open("/proc/self/comm", "w").write("a-very-long-name-indeed")
print(open("/proc/self/comm").read(), open("/proc/thread-self/comm").read(), end="")
event, ready = threading.Event(), threading.Event()

def work():
    open("/proc/thread-self/comm", "w").write("worker")
    ready.set()
    event.wait()

thread = threading.Thread(target=work)
thread.start()
ready.wait()
tids = sorted(map(int, os.listdir("/proc/self/task")))
print(len(tids), [open(f"/proc/self/task/{t}/comm").read().strip() for t in tids], status(f"/proc/self/task/{tids[1]}/status")["Name"])
print(open(f"/proc/self/task/{tids[1]}/stat").read().split()[1], os.path.exists(f"/proc/{tids[1]}"), str(tids[1]) in os.listdir("/proc"))
event.set()
thread.join()
open("/proc/self/oom_score_adj", "w").write("500")
print(open("/proc/self/oom_score_adj").read(), open("/proc/self/oom_adj").read(), end="")
child = subprocess.run([sys.executable, "-c", "print(open('/proc/self/oom_score_adj').read(), end='')"], capture_output=True, text=True)
print(child.stdout, end="")
for bad in ("1001", "x"):
    try:
        with open("/proc/self/oom_score_adj", "w") as file:
            file.write(bad)
    except OSError as error:
        print(error.strerror)
os.nice(3)
fields = open("/proc/self/stat").read().rpartition(")")[2].split()
print(fields[0], fields[15:18], len(fields), open("/proc/self/personality").read(), end="")
print(len(open("/proc/self/statm").read().split()), len(open("/proc/self/schedstat").read().split()), open("/proc/self/loginuid").read() == str(2**32 - 1))
zombie = os.fork()
if not zombie:
    os._exit(3)
os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
print(open(f"/proc/{zombie}/stat").read().split()[2], repr(open(f"/proc/{zombie}/cmdline").read()), open(f"/proc/{zombie}/maps").read() == "", os.listdir(f"/proc/{zombie}/task") == [str(zombie)])
os.waitpid(zombie, 0)
print(os.path.exists(f"/proc/{zombie}"), sorted(line.split()[4] for line in open("/proc/self/mountinfo") if line.split()[4] in ("/proc", "/sys", "/dev")))
maps = [line.split(None, 5) for line in open("/proc/self/maps")]
print(sum(line[5:] == ["[stack]\n"] for line in maps), sum(line[5:] == ["[heap]\n"] for line in maps) >= 0, {line[1] for line in maps if line[5:6] == [sys.executable + "\n"]} >= {"r-xp"})
smaps = open("/proc/self/smaps").read()
print(len(re.findall(r"^[0-9a-f]+-[0-9a-f]+ ", smaps, re.M)) >= len(maps) - 2, smaps.count("\nRss:") == smaps.count("\nVmFlags:"))
def flags_of(area):
    address = ctypes.addressof(ctypes.c_char.from_buffer(area))
    found = False
    for line in open("/proc/self/smaps"):
        head = re.match(r"([0-9a-f]+)-([0-9a-f]+) ", line)
        if head:
            found = int(head[1], 16) <= address < int(head[2], 16)
        elif found and line.startswith("VmFlags:"):
            return line.split()[1:]
kinds = [(mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 3), (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, 7), (mmap.MAP_SHARED | mmap.MAP_ANONYMOUS, 3), (mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000, 3)]
for kind, prot in kinds:
    area = mmap.mmap(-1, 8192, kind, prot)
    print(flags_of(area))
    if prot == 3:
        area.madvise(mmap.MADV_DONTFORK)
        print(flags_of(area))
with open("mapped", "w+b") as mapped:
    mapped.write(bytes(8192))
    mapped.flush()
    for kind in (mmap.MAP_SHARED, mmap.MAP_PRIVATE):
        print(flags_of(mmap.mmap(mapped.fileno(), 8192, kind, 3)))
print(open("/proc/self/smaps_rollup").readline().split()[-1], os.readlink("/proc/self/exe") == os.path.realpath(sys.executable), os.readlink("/proc/self/cwd") == os.getcwd(), os.readlink("/proc/self/root"))
for path in ("/proc/sys/kernel/ostype", "/proc/sys/kernel/pid_max", "/proc/sys/fs/nr_open", "/proc/sys/vm/overcommit_memory", "/proc/sys/net/core/somaxconn", "/proc/sys/net/unix/max_dgram_qlen"):
    print(path, len(open(path).read().split()))
print(open("/sys/devices/system/cpu/online").read() == open("/sys/devices/system/cpu/present").read(), os.path.isdir("/sys/fs/cgroup"), open("/sys/class/net/lo/mtu").read(), len(os.listdir("/sys/devices/system/cpu/cpu0/topology")) > 5)
