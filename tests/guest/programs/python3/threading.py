import threading, queue, time

q = queue.Queue()
n = [0]
lock = threading.Lock()


def work():
    for i in range(200):
        with lock:
            n[0] += 1
        q.put(i)


ts = [threading.Thread(target=work) for _ in range(16)]
[t.start() for t in ts]
print(sum(q.get() for _ in range(3200)))
[t.join() for t in ts]
print(n)
e = threading.Event()
t = threading.Timer(0.02, e.set)
t.start()
print(e.wait(5))
b = threading.Barrier(4)
ts = [threading.Thread(target=b.wait) for _ in range(4)]
[t.start() for t in ts]
[t.join() for t in ts]
print(threading.Condition().__enter__(), threading.active_count())
print(e.wait(0.01), threading.Event().wait(0.01))
from concurrent.futures import ThreadPoolExecutor

print(sum(ThreadPoolExecutor(8).map(lambda x: x * x, range(100))))
