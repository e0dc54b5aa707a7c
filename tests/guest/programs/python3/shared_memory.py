import multiprocessing as m
from multiprocessing import resource_tracker, shared_memory

m.set_start_method("fork")
memory = shared_memory.SharedMemory(create=True, size=10000)
memory.buf[:5] = b"hello"


def child(name, lock):
    mine = shared_memory.SharedMemory(name=name)
    for _ in range(200):
        with lock:
            mine.buf[100] = (mine.buf[100] + 1) % 256
    mine.buf[5:11] = b" world"
    mine.close()


lock = m.Lock()
ps = [m.Process(target=child, args=(memory.name, lock)) for _ in range(3)]
[p.start() for p in ps]
[p.join() for p in ps]
print(bytes(memory.buf[:11]), memory.buf[100], [p.exitcode for p in ps], len(memory.buf))
values = shared_memory.ShareableList([1, 2.5, "three", b"four", None])
p = m.Process(target=values.__setitem__, args=(0, 99))
p.start()
p.join()
print(list(values))
values.shm.close()
values.shm.unlink()
memory.close()
memory.unlink()
try:
    shared_memory.SharedMemory(name=memory.name)
except FileNotFoundError as error:
    print(error.errno)
resource_tracker._resource_tracker._stop()
semaphore = m.BoundedSemaphore(2)
print(semaphore.acquire(), semaphore.acquire(), semaphore.acquire(timeout=0.01))
semaphore.release()
condition, seen = m.Condition(), m.Value("i", 0)


def wait():
    with condition:
        condition.wait_for(lambda: seen.value == 3, 10)
        print("woken at", seen.value, flush=True)


p = m.Process(target=wait)
p.start()
for _ in range(3):
    with condition:
        seen.value += 1
        condition.notify_all()
p.join()
print(p.exitcode)
