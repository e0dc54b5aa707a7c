import ctypes
import mmap
import os
import shutil
import struct
import subprocess

libc = ctypes.CDLL(None, use_errno=True)
fd = libc.inotify_init1(os.O_NONBLOCK)


def watch(path, mask=0x400):  # IN_DELETE_SELF
    return libc.inotify_add_watch(fd, os.fsencode(path), ctypes.c_uint(mask))


def show(what):
    found = []
    try:
        data = os.read(fd, 1 << 16)
    except BlockingIOError:
        data = b""
    while data:
        wd, mask, _, size = struct.unpack_from("iIII", data)
        found.append((wd, hex(mask), data[16 : 16 + size].rstrip(b"\0").decode()))
        data = data[16 + size :]
    print(what, *found)


os.mkdir("d")
shutil.copy("/bin/true", "d/program")
watch("d", 0xFFF)
subprocess.run(["d/program"], check=True)
show("run")
watch("d/program")
os.unlink("d/program")
show("gone with its name, although it was run")

with open("d/m", "wb+") as file:
    file.write(bytes(4096))
    file.flush()
    mapped = mmap.mmap(file.fileno(), 4096)
watch("d/m")
os.unlink("d/m")
show("mapped")
mapped.close()
show("unmapped")

for name, inside in (("empty", None), ("full", "f")):
    os.mkdir(name)
    watch(name)
    descriptor = os.open(f"{name}/{inside}" if inside else name, os.O_CREAT * bool(inside), 0o600)
    if inside:
        os.unlink(f"{name}/{inside}")
    os.rmdir(name)
    show(f"{name}: open")
    os.close(descriptor)
    show(f"{name}: closed")

os.mkdir("e")
watch("e")
print(os.path.exists("e/missing"))
shutil.copy("/bin/true", "e/program")
subprocess.run(["e/program"], check=True)
shutil.rmtree("e")
show("a program was run in it")
