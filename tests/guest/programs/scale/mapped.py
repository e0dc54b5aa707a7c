"""Shared mappings of one 64 MiB file in four processes, against each other and against read(2) and write(2)."""
import mmap, os, struct
SIZE, STEP = 64 << 20, 4096
fd = os.open("f", os.O_CREAT | os.O_RDWR)
for at in range(0, SIZE, 1 << 20):
    os.pwrite(fd, struct.pack("<Q", at) * (1 << 17), at)
area = mmap.mmap(fd, SIZE)
turn, back = [os.pipe() for _ in range(4)], os.pipe()
for n in range(4):
    if not os.fork():
        own = mmap.mmap(os.open("f", os.O_RDWR), SIZE)  # a mapping of its own, and the inherited one
        os.read(turn[n][0], 1)
        total = 0
        for at in range(n * STEP, SIZE, 4 * STEP):
            (value,) = struct.unpack_from("<Q", own, at)
            struct.pack_into("<Q", own if at & 1 << 20 else area, at, value + n + 1)
            total += value
        os.pwrite(fd, b"written by %d" % n, n * STEP + 64)
        os.write(back[1], struct.pack("<Q", total))
        os._exit(0)
for _, writer in turn:
    os.write(writer, b"x")
print(sum(struct.unpack("<Q", os.read(back[0], 8))[0] for _ in range(4)))
for _ in range(4):
    os.wait()
print([bytes(area[n * STEP + 64 : n * STEP + 76]) for n in range(4)])
print(sum(struct.unpack_from("<Q", area, at)[0] for at in range(0, SIZE, STEP)))
print(sum(struct.unpack("<Q", os.pread(fd, 8, at))[0] for at in range(0, SIZE, STEP)))
os.pwrite(fd, b"by write", SIZE - 8)
print(area[-8:])
area[:5] = b"moved"
print(os.pread(fd, 5, 0), os.stat("f").st_size)
os.ftruncate(fd, SIZE + 10)
print(os.pread(fd, 20, SIZE - 8))
# thousands of files mapped one after another, and one all the while
for i in range(4000):
    with open(f"s{i}", "wb+") as file:
        file.write(b"%d" % i * 10)
        file.flush()
        with mmap.mmap(file.fileno(), 0) as small:
            small[0:1] = b"m"
print(open("s77", "rb").read(), open("s3999", "rb").read(), area[:5])
area[:5] = b"still"
print(os.pread(fd, 5, 0))
