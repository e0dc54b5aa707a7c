import asyncio


async def main():
    p = await asyncio.create_subprocess_exec("cat", stdin=-1, stdout=-1)
    print(await p.communicate(b"hi"))
    print(await asyncio.gather(*(asyncio.sleep(0.01, i) for i in range(10))))
    r = await asyncio.to_thread(sum, range(10))
    print(r)
    s = await asyncio.start_unix_server(lambda r, w: (w.write(b"srv"), w.close()), "sock")
    a, b = await asyncio.open_unix_connection("sock")
    print(await a.read())
    b.close()
    s.close()


asyncio.run(main())
