# concurrent.futures with threads and processes, by fork, spawn and forkserver; queues, locks, pools, managers, broken ones.
import concurrent.futures as cf
import multiprocessing as mp
import os
import signal
import sys
import threading
import time

# Children that do not fork import this program: it is put into a module of its own.
MODULE = """
import os, time

def square(n):
    return n * n

def fail(n):
    raise ValueError(f"bad {n}")

def die(n):
    os._exit(3)

def count(lock, value, turns):
    for _ in range(turns):
        with lock:
            value.value += 1

def echo(connection):
    while (message := connection.recv()) is not None:
        connection.send(message[::-1])
    connection.close()

def produce(queue, n):
    for i in range(n):
        queue.put((i, "x" * 1000))

def wait(event, barrier, results):
    event.wait()
    results[barrier.wait()] = 1
"""
open("work.py", "w").write(MODULE)
sys.path.insert(0, os.getcwd())
import work  # noqa: E402

with cf.ThreadPoolExecutor(6) as pool:
    print(list(pool.map(work.square, range(20))))
    futures = [pool.submit(time.sleep, 0.005) for _ in range(20)]
    done, pending = cf.wait(futures, return_when=cf.FIRST_COMPLETED)
    print(len(done) > 0, len(cf.wait(futures).done))
    print(repr(pool.submit(work.fail, 1).exception()))
    blocker = threading.Event()
    blocked = [pool.submit(blocker.wait) for _ in range(6)]
    waiting = pool.submit(work.square, 1)
    try:
        waiting.result(timeout=0.01)
    except TimeoutError:
        print("not yet", waiting.cancel())
    blocker.set()

for method in ("fork", "spawn", "forkserver"):
    context = mp.get_context(method)
    with cf.ProcessPoolExecutor(3, mp_context=context) as pool:
        print(method, sum(pool.map(work.square, range(300), chunksize=7)))
        print([f.result() for f in cf.as_completed([pool.submit(pow, 2, 100)])])
        try:
            pool.submit(work.fail, 2).result()
        except ValueError as error:
            print(error, type(error.__cause__).__name__)
    try:
        with cf.ProcessPoolExecutor(1, mp_context=context) as pool:
            pool.submit(work.die, 0).result()
    except cf.process.BrokenProcessPool:
        print("broken")

context = mp.get_context("fork")
value, lock = context.Value("i", 0, lock=False), context.Lock()
counters = [context.Process(target=work.count, args=(lock, value, 300)) for _ in range(4)]
for process in counters:
    process.start()
for process in counters:
    process.join()
print(value.value, [p.exitcode for p in counters])
here, there = context.Pipe()
echo = context.Process(target=work.echo, args=(there,))
echo.start()
there.close()
for message in ("abc", [1, 2, 3], b"x" * 300_000):
    here.send(message)
    print(here.recv() == message[::-1])
here.send(None)
echo.join()
try:
    here.recv()
except EOFError:
    print("end")
queue = context.Queue(10)
makers = [context.Process(target=work.produce, args=(queue, 50)) for _ in range(3)]
for process in makers:
    process.start()
print(sum(queue.get()[0] for _ in range(150)))
for process in makers:
    process.join()
event, barrier, results = context.Event(), context.Barrier(3), context.Array("i", 3)
waiters = [context.Process(target=work.wait, args=(event, barrier, results)) for _ in range(3)]
for process in waiters:
    process.start()
event.set()
for process in waiters:
    process.join()
print(list(results))
with context.Pool(3, maxtasksperchild=5) as pool:
    print(sorted(pool.imap_unordered(work.square, range(20))), pool.starmap(pow, [(2, 3), (3, 2)]))
with context.Manager() as manager:
    shared, data = manager.dict(), manager.list([1])
    helper = context.Process(target=shared.update, args=({"a": 1},))
    helper.start()
    helper.join()
    data.append(2)
    print(dict(shared), list(data), shared._getvalue())
sleeper = context.Process(target=time.sleep, args=(60,))
sleeper.start()
sleeper.join(0.01)
sleeper.terminate()
sleeper.join()
print(sleeper.exitcode == -signal.SIGTERM, mp.active_children())
