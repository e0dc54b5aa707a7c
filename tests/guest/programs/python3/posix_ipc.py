import ctypes as c
import os
import select
import signal
import struct

rt = c.CDLL(None, use_errno=True)
name = b"/pylitebox-%d" % os.getpid()


def check(result):
    return result if result != -1 else -c.get_errno()


rt.mmap.restype = c.c_void_p
rt.mmap.argtypes = [c.c_void_p, c.c_size_t, c.c_int, c.c_int, c.c_int, c.c_long]
rt.sem_open.restype = c.c_void_p
for function in (rt.sem_wait, rt.sem_post, rt.sem_close, rt.sem_trywait, rt.sem_getvalue, rt.sem_init):
    function.argtypes = [c.c_void_p] + ([c.c_void_p] if function is rt.sem_getvalue else []) + (
        [c.c_int, c.c_uint] if function is rt.sem_init else []
    )

# named semaphores are files in /dev/shm
a, b = (rt.sem_open(name + end, os.O_CREAT | os.O_EXCL, 0o600, 0) for end in (b"a", b"b"))
print(rt.sem_open(name + b"a", os.O_CREAT | os.O_EXCL, 0o600, 0), os.strerror(c.get_errno()))
print(sorted(n.replace(str(os.getpid()), "PID") for n in os.listdir("/dev/shm") if str(os.getpid()) in n))
print(check(rt.sem_trywait(a)))

# shared memory, with an unnamed semaphore in it
fd = rt.shm_open(name, os.O_CREAT | os.O_RDWR, 0o600)
os.ftruncate(fd, 4096)
memory = rt.mmap(None, 4096, 3, 1, fd, 0)
words = (c.c_int * 1024).from_address(memory)
lock = memory + 1024
print(rt.sem_init(lock, 1, 1))
if os.fork() == 0:
    again = rt.sem_open(name + b"a", 0)
    for _ in range(100):
        rt.sem_wait(again)
        rt.sem_wait(lock)
        words[0] += 1
        rt.sem_post(lock)
        rt.sem_post(b)
    os._exit(0)
for _ in range(100):
    rt.sem_post(a)
    rt.sem_wait(lock)
    words[1] += words[0] <= 100
    rt.sem_post(lock)
    rt.sem_wait(b)
print(os.wait()[1], words[0], words[1])
value = c.c_int()
print(rt.sem_getvalue(a, c.byref(value)), value.value)
print([check(rt.sem_unlink(name + end)) for end in (b"a", b"b", b"a")], rt.shm_unlink(name))

# message queues
attr = struct.pack("8q", 0, 4, 32, 0, 0, 0, 0, 0)
print(check(rt.mq_open(name, os.O_RDWR)))
queue = rt.mq_open(name, os.O_CREAT | os.O_RDWR, 0o600, attr)
poll = select.poll()
poll.register(queue, select.POLLIN | select.POLLOUT)
print([event for _, event in poll.poll(0)])
if os.fork() == 0:
    for i in range(20):
        rt.mq_send(queue, b"message %d" % i, 10, 0)
    os._exit(0)
text, priority = c.create_string_buffer(32), c.c_uint()
print([rt.mq_receive(queue, text, 32, c.byref(priority)) and text.value for _ in range(20)])
os.wait()
for p in (1, 9, 5):
    rt.mq_send(queue, b"p%d" % p, 2, p)
print([(rt.mq_receive(queue, text, 32, c.byref(priority)), priority.value, text.raw[:2]) for _ in range(3)])
print(check(rt.mq_timedreceive(queue, text, 32, None, struct.pack("2q", 1, 0))))
signal.signal(signal.SIGUSR1, lambda signo, frame: print("told"))
print(rt.mq_notify(queue, struct.pack("Qii48x", 7, signal.SIGUSR1, 0)))
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
if os.fork() == 0:
    rt.mq_send(queue, b"x", 1, 0)
    os._exit(0)
info = signal.sigwaitinfo([signal.SIGUSR1])
print(info.si_signo, info.si_code, info.si_pid == os.wait()[0])
epoll = select.epoll()
epoll.register(queue, select.EPOLLIN | select.EPOLLET)
print(len(epoll.poll(0)), len(epoll.poll(0)))
rt.mq_send(queue, b"y", 1, 0)
print(len(epoll.poll(0)))
print(rt.mq_unlink(name), rt.mq_close(queue), check(rt.mq_unlink(name)))
