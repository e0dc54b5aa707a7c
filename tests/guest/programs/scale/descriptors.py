"""10,000 open descriptors in one process: files, pipes in epoll and poll, a fork and an exec with them."""
import os, resource, select, subprocess
FILES, PIPES = 10_000, 5_000
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20_000), hard))
fds = [os.open(f"f{i % 1000}", os.O_CREAT | os.O_RDWR) for i in range(FILES)]
for i, fd in enumerate(fds):
    os.pwrite(fd, b"%7d\n" % i, 8 * (i // 1000))
print(sum(int(os.pread(fds[i], 8, 8 * (i // 1000))) for i in range(FILES)), os.fstat(fds[0]).st_size)
print(fds == list(range(fds[0], fds[0] + FILES)), set(map(str, fds)) <= set(os.listdir("/proc/self/fd")))
child = os.fork()
if not child:
    os._exit(os.pread(fds[-1], 8, 8 * 9) != b"%7d\n" % (FILES - 1))
print(os.waitpid(child, 0)[1])
os.set_inheritable(fds[5], True)
print(subprocess.run(["sh", "-c", "ls /proc/self/fd | wc -l"], capture_output=True, close_fds=False).stdout)
os.closerange(fds[0], fds[-1] + 1)
pipes = [os.pipe() for _ in range(PIPES)]
print(pipes[-1][1] - pipes[0][0] == 2 * PIPES - 1)
epoll, poll = select.epoll(), select.poll()
for reader, _ in pipes:
    epoll.register(reader, select.EPOLLIN)
    poll.register(reader, select.POLLIN)
for turn, waiter in enumerate([epoll] * 200 + [poll] * 20):
    reader, writer = pipes[turn * 7 % PIPES]
    os.write(writer, b"x")
    assert waiter.poll() == [(reader, 1)]
    os.read(reader, 1)
for pair in pipes:
    os.close(pair[0])
    os.close(pair[1])
print(epoll.poll(0))
