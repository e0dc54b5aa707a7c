cat > s.py <<'END'
import multiprocessing


def increment(x):
    return x + 1


if __name__ == "__main__":
    multiprocessing.set_start_method("spawn")
    with multiprocessing.Pool(2) as pool:
        print(pool.map(increment, range(8)))
    queue = multiprocessing.Queue()
    process = multiprocessing.Process(target=queue.put, args=("spawned",))
    process.start()
    print(queue.get())
    process.join()
END
/usr/bin/python3 s.py
