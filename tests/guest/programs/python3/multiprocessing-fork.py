import multiprocessing as m

m.set_start_method("fork")


def f(x):
    return x * x


if __name__ == "__main__":
    with m.Pool(3) as p:
        print(p.map(f, range(20)))
    q = m.Queue()
    p = m.Process(target=q.put, args=(42,))
    p.start()
    print(q.get())
    p.join()
    print(p.exitcode)
    a, b = m.Pipe()
    a.send({"x": 1})
    print(b.recv())
    v = m.Value("i", 0)

    def g():
        for _ in range(100):
            with v.get_lock():
                v.value += 1

    ps = [m.Process(target=g) for _ in range(4)]
    [p.start() for p in ps]
    [p.join() for p in ps]
    print(v.value)
    p = m.Process(target=exit, args=(5,))
    p.start()
    p.join()
    print(p.exitcode)
