import os, stat

os.makedirs("a/b")
fd = os.open("a", os.O_RDONLY | os.O_DIRECTORY)
f = os.open("f", os.O_CREAT | os.O_RDWR, dir_fd=fd)
os.write(f, b"12345")
print(os.pread(f, 2, 1), os.lseek(f, 0, 2), os.stat("f", dir_fd=fd).st_size, sorted(os.listdir(fd)))
os.rename("f", "g", src_dir_fd=fd, dst_dir_fd=fd)
os.link("a/g", "a/h")
print(os.stat("a/h").st_nlink, [e.name for e in sorted(os.scandir("a"), key=lambda e: e.name)])
os.truncate("a/g", 2)
print(os.sendfile(1, f, 0, 2))
print(os.getcwd().startswith("/"), os.umask(0o77), os.umask(0))
for call in (
    lambda: os.mkdir("a"),
    lambda: os.rmdir("a"),
    lambda: os.open("a/g/x", 0),
    lambda: os.readlink("a"),
    lambda: os.unlink("a"),
    lambda: os.open("x" * 300, 0),
    lambda: os.read(77, 1),
    lambda: os.kill(99999999, 0),
):
    try:
        call()
    except OSError as e:
        print(e)
print(
    os.WEXITSTATUS(os.system("exit 6")),
    os.popen("echo popen").read(),
    os.get_terminal_size.__name__,
    os.isatty(0),
    os.pipe2(os.O_CLOEXEC) and 1,
    os.memfd_create("m") > 0,
    os.eventfd(3) > 0,
    os.sysconf("SC_PAGESIZE"),
    os.access("/", os.W_OK) in (True, False),
)
