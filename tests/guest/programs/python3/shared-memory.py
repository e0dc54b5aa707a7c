# multiprocessing.shared_memory, mmap in depth, and numbers shared by processes: sizes, names, copies, resizing, faults.
import mmap
import os
import pickle
import signal
import subprocess
import sys
from multiprocessing import Process, shared_memory
from multiprocessing.managers import SharedMemoryManager

PAGE = mmap.PAGESIZE


def fill(name, offset):
    other = shared_memory.SharedMemory(name)
    other.buf[offset : offset + 5] = b"child"
    other.close()


memory = shared_memory.SharedMemory(create=True, size=100_000)
print(memory.size, memory.buf[:4].tobytes(), os.path.exists("/dev/shm" + memory._name))
children = [Process(target=fill, args=(memory.name, i * 10)) for i in range(4)]
for child in children:
    child.start()
for child in children:
    child.join()
print(bytes(memory.buf[:36]))
code = "import sys; from multiprocessing import resource_tracker as t, shared_memory as s; m = s.SharedMemory(sys.argv[1]); t.unregister(m._name, 'shared_memory'); print(bytes(m.buf[30:35])); m.buf[0:5] = b'other'; m.close()"
print(subprocess.check_output([sys.executable, "-c", code, memory.name]))
print(bytes(memory.buf[:5]))
try:
    shared_memory.SharedMemory(memory.name, create=True, size=1)
except FileExistsError as error:
    print(error.strerror)
memory.close()
memory.unlink()
try:
    shared_memory.SharedMemory(memory.name)
except FileNotFoundError as error:
    print(error.strerror)
numbers = shared_memory.ShareableList([1, 2.5, "text", b"bytes", None, True])
copy = pickle.loads(pickle.dumps(numbers))
numbers[0], numbers[2] = 7, "TEXT"
print(list(copy), copy.count(7), copy.index("TEXT"))
copy.shm.close()
numbers.shm.close()
numbers.shm.unlink()
with SharedMemoryManager() as manager:
    lists = [manager.ShareableList(range(n)) for n in (3, 5)]
    print([list(numbers) for numbers in lists], manager.SharedMemory(PAGE).size)

with open("mapped", "w+b") as file:
    file.truncate(10 * PAGE)
    with mmap.mmap(file.fileno(), 0) as area, mmap.mmap(file.fileno(), 2 * PAGE, offset=4 * PAGE) as part:
        part[0:3] = b"abc"
        print(area[4 * PAGE : 4 * PAGE + 3], area.find(b"bc"), area.rfind(b"c"), area.size())
        area.move(0, 4 * PAGE, 3)
        area.seek(0)
        print(area.read(3), area.readline(), area.tell(), area.flush(0, PAGE))
        os.pwrite(file.fileno(), b"written", 4 * PAGE)
        print(part[:7])
        area.madvise(mmap.MADV_DONTNEED)
        print(part[:7], area[:3])
        area.resize(20 * PAGE)
        print(len(area), os.fstat(file.fileno()).st_size, area[:3])
    with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as area:
        try:
            area[0] = 1
        except TypeError as error:
            print(error)
    with mmap.mmap(file.fileno(), PAGE, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ | mmap.PROT_WRITE) as area:
        area[:3] = b"own"
        print(area[:3], os.pread(file.fileno(), 3, 0))
    for size, offset in ((PAGE, 1), (30 * PAGE, 0), (0, 40 * PAGE)):
        try:
            mmap.mmap(file.fileno(), size, offset=offset)
        except (OSError, ValueError) as error:
            print(error)
    beyond = mmap.mmap(file.fileno(), 20 * PAGE)
    file.truncate(PAGE)
    pid = os.fork()
    if pid == 0:
        beyond[5 * PAGE]
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGBUS)
anonymous = mmap.mmap(-1, 1 << 26, flags=mmap.MAP_SHARED)
pids = []
for i in range(4):
    pids.append(os.fork())
    if pids[-1] == 0:
        for page in range(i, 1 << 14, 4):
            anonymous[page * PAGE] = 1 + i
        os._exit(0)
for pid in pids:
    os.waitpid(pid, 0)
print(sum(anonymous[page * PAGE] for page in range(1 << 14)))
descriptor = os.memfd_create("sealed", os.MFD_ALLOW_SEALING)
os.write(descriptor, b"data" * 2000)
with mmap.mmap(descriptor, 0, prot=mmap.PROT_READ) as area:
    print(area[7996:8000])
os.close(descriptor)
