import mmap, os

f = open("f", "w+b")
f.write(b"a" * 8192)
f.flush()
m = mmap.mmap(f.fileno(), 0)
m[10:15] = b"hello"
m.flush()
f.seek(8)
print(f.read(8))
os.pwrite(f.fileno(), b"XY", 4096)
print(m[4095:4099])
if os.fork() == 0:
    m[0:3] = b"kid"
    os._exit(0)
os.wait()
print(m[0:3])
a = mmap.mmap(-1, 4096)
pid = os.fork()
if pid == 0:
    a[:4] = b"anon"
    os._exit(0)
os.waitpid(pid, 0)
print(a[:4])
c = mmap.mmap(f.fileno(), 0, access=mmap.ACCESS_COPY)
c[0] = 90
print(m[0:1])
f.truncate(4096)
print(os.fstat(f.fileno()).st_size)
