# asyncio with child processes, each child watcher, signals, pipes, servers, executors, cancellation and time-outs.
import asyncio
import contextlib
import functools
import os
import signal
import socket
import sys
import threading


async def children():
    async def run(*argv, **how):
        child = await asyncio.create_subprocess_exec(*argv, stdout=-1, stderr=-1, **how)
        out, err = await child.communicate()
        return child.returncode, out, err

    print(await run("sh", "-c", "echo out; echo err >&2; exit 7"), await run("sh", "-c", "kill -9 $$"))
    print(await asyncio.gather(*(run("sh", "-c", f"echo {i}; exit {i}") for i in range(15))))
    try:
        await run("no-such-program")
    except FileNotFoundError as error:
        print(error)
    shell = await asyncio.create_subprocess_shell("read x; echo got $x; cat >&2", stdin=-1, stdout=-1, stderr=-1)
    shell.stdin.write(b"a line\n")
    await shell.stdin.drain()
    print(await shell.stdout.readline())
    print(await shell.communicate(b"z" * 300_000) == (b"", b"z" * 300_000), shell.returncode)
    tr = await asyncio.create_subprocess_exec("tr", "a", "b", stdin=-1, stdout=-1, limit=1 << 16)

    async def feed():
        for _ in range(50):
            tr.stdin.write(b"a" * 20_000)
            await tr.stdin.drain()
        tr.stdin.close()

    feeding = asyncio.create_task(feed())
    total = 0
    while data := await tr.stdout.read(50_000):
        total += data.count(b"b")
    await feeding
    print(total, await tr.wait())
    sleeping = await asyncio.create_subprocess_exec("sleep", "60")
    try:
        await asyncio.wait_for(sleeping.wait(), 0.02)
    except asyncio.TimeoutError:
        sleeping.terminate()
    print(await sleeping.wait())
    reader, writer = os.pipe()
    other = await asyncio.create_subprocess_exec("sh", "-c", f"echo inherited >&{writer}", pass_fds=[writer])
    os.close(writer)
    stream = asyncio.StreamReader()
    protocol = functools.partial(asyncio.StreamReaderProtocol, stream)
    await asyncio.get_running_loop().connect_read_pipe(protocol, os.fdopen(reader, "rb"))
    print(await stream.read(), await other.wait())


async def signals():
    loop = asyncio.get_running_loop()
    for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGHUP):
        got = asyncio.Event()
        loop.add_signal_handler(number, got.set)
        os.kill(os.getpid(), number)
        await got.wait()
        print(number.name, loop.remove_signal_handler(number))


async def servers():
    async def serve(reader, writer):
        size = 0
        while data := await reader.read(65536):
            size += len(data)
        writer.write(b"had %d" % size)
        writer.close()

    async def client(i):
        reader, writer = await asyncio.open_unix_connection("server")
        writer.write(b"x" * i * 30_000)
        writer.write_eof()
        return await reader.read()

    async with await asyncio.start_unix_server(serve, "server") as server:
        print(await asyncio.gather(*(client(i) for i in range(12))), server.is_serving())
    loop = asyncio.get_running_loop()
    left, right = socket.socketpair()
    left.setblocking(False), right.setblocking(False)
    receiving = loop.create_task(loop.sock_recv(right, 10))
    await loop.sock_sendall(left, b"by hand")
    print(await receiving)
    with open("/etc/passwd", "rb") as file:
        sent = await loop.sock_sendfile(left, file, 0, 4)
    print(sent, await loop.sock_recv(right, 10))
    left.close(), right.close()


async def tasks():
    async with asyncio.TaskGroup() as group:
        done = [group.create_task(asyncio.sleep(0.001 * (i % 5), i)) for i in range(200)]
    print(sum(task.result() for task in done))
    try:
        async with asyncio.timeout(0.01):
            await asyncio.Event().wait()
    except TimeoutError:
        print("timeout")
    queue, lock, seen = asyncio.Queue(3), asyncio.Lock(), []

    async def work():
        while (item := await queue.get()) is not None:
            async with lock:
                seen.append(item)
            queue.task_done()

    workers = [asyncio.create_task(work()) for _ in range(4)]
    for item in [*range(50), *[None] * 4]:
        await queue.put(item)
    await asyncio.gather(*workers)
    print(sorted(seen) == list(range(50)))
    cancelled = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    cancelled.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await cancelled
    sizes = await asyncio.gather(*(asyncio.to_thread(os.path.getsize, "/etc/passwd") for _ in range(20)))
    print(cancelled.cancelled(), set(sizes) == {os.path.getsize("/etc/passwd")})
    loop = asyncio.get_running_loop()
    later = loop.create_future()
    threading.Thread(target=lambda: loop.call_soon_threadsafe(later.set_result, "from a thread")).start()
    print(await later)


for watcher in (asyncio.ThreadedChildWatcher, asyncio.PidfdChildWatcher):
    asyncio.set_child_watcher(watcher())
    asyncio.run(children())
asyncio.run(signals())
asyncio.run(servers())
asyncio.run(tasks())
sys.exit(3)
