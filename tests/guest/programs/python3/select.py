import select, os, socket

a, b = socket.socketpair()
p = select.poll()
p.register(a, select.POLLIN)
print(p.poll(0))
b.send(b"x")
print(len(p.poll(1000)), select.select([a], [b], [], 1) == ([a], [b], []))
e = select.epoll()
e.register(a, select.EPOLLIN | select.EPOLLET)
print(len(e.poll(1)), e.poll(0))
a.recv(9)
b.close()
print(a.recv(1))
r, w = os.pipe()
os.set_blocking(r, False)
try:
    os.read(r, 1)
except BlockingIOError as x:
    print(x)
