# Programs on a terminal of their own, driven as a person would: pty.spawn, openpty, login_tty, editors and pagers.
import os, pty, select, signal, struct, sys, termios, fcntl, time, tty


class Driver:
    def __init__(self, *argv, size=(24, 80)):
        self.pid, self.fd = pty.fork()
        if not self.pid:
            os.environ.update(TERM="dumb", PS1="$ ", HISTFILE="/dev/null", INPUTRC="/dev/null", LC_ALL="C")
            try:
                os.execvp(argv[0], argv)
            finally:
                os._exit(127)
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
        self.text = b""

    def expect(self, what, seconds=20):
        end = time.monotonic() + seconds
        while what not in self.text:
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.fd], [], [], left)[0]:
                print("no", what, "in", self.text)
                sys.exit(1)
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                data = b""
            if not data:
                print("the end, and no", what, "in", self.text)
                sys.exit(1)
            self.text += data
        before, _, self.text = self.text.partition(what)
        return before + what

    def send(self, text):
        os.write(self.fd, text)

    def rest(self):
        while True:
            try:
                data = os.read(self.fd, 4096)
            except OSError:
                break
            if not data:
                break
            self.text += data
        status = os.waitpid(self.pid, 0)[1]
        os.close(self.fd)
        return self.text, os.waitstatus_to_exitcode(status)


sh = Driver("bash", "--norc", "--noprofile", "--noediting", "-i")
sh.expect(b"$ ")
for line in (b"echo one", b"tty | cut -c1-9", b"stty size", b"sleep 1000 &", b"jobs", b"kill %1", b"wait", b"set -o | grep monitor"):
    sh.send(line + b"\n")
    text = sh.expect(b"$ ")
    print(b"\n".join(part for part in text.split(b"\r\n") if b"[1] " not in part and b"Terminated" not in part))
sh.send(b"cat\n")
sh.expect(b"cat\r\n")
sh.send(b"typed\n")
print(sh.expect(b"typed\r\ntyped\r\n"))
sh.send(b"\x1a")
print(sh.expect(b"$ "))
sh.send(b"jobs; bg\n")
print(sh.expect(b"[1]+ cat &"))
# it reads, and is stopped for that; bash says so before its prompt
sh.send(b"until jobs | grep -q Stopped; do sleep 0.1; done; echo stop''ped\n")
sh.expect(b"stopped\r\n")
sh.expect(b"$ ")
sh.send(b"fg\n")
sh.expect(b"fg\r\ncat\r\n")
sh.send(b"again\n")
print(sh.expect(b"again\r\nagain\r\n"))
sh.send(b"\x04")
print(sh.expect(b"$ "))
sh.send(b"sleep 100\n")
sh.expect(b"sleep 100\r\n")
time.sleep(0.2)
sh.send(b"\x03")
print(sh.expect(b"$ "))
sh.send(b"echo $?; trap 'echo size' WINCH\n")
print(sh.expect(b"$ "))
fcntl.ioctl(sh.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 99, 0, 0))
sh.send(b"stty size\n")
sh.expect(b"30 99")
sh.send(b"exit 7\n")
print(sh.rest()[1])

read = Driver("python3", "-c", "print(repr(input('name? ')))")
read.expect(b"name? ")
read.send(b"wrong\x15right\x7f\x7f\x7f\x7f\x7fleft\n")
print(read.rest())

secret = Driver("python3", "-c", "import getpass; print(repr(getpass.getpass()))")
secret.expect(b"Password: ")
secret.send(b"hidden\n")
print(secret.rest())

gone = Driver("sh", "-c", "trap 'echo hung up >/tmp/gone; exit 3' HUP; echo here; while :; do sleep 0.05; done")
gone.expect(b"here")
os.close(gone.fd)
print(os.waitstatus_to_exitcode(os.waitpid(gone.pid, 0)[1]), open("/tmp/gone").read())

master, slave = os.openpty()
if not os.fork():
    os.login_tty(slave) if hasattr(os, "login_tty") else (os.setsid(), fcntl.ioctl(slave, termios.TIOCSCTTY, 0))
    os.tcsetpgrp(slave if not os.isatty(0) else 0, os.getpgrp())
    os._exit(os.tcgetpgrp(0) != os.getpgrp() if os.isatty(0) else 0)
print(os.wait()[1])
tty.setraw(slave)
os.write(master, b"\x03raw\n")
print(os.read(slave, 99), termios.tcgetattr(slave)[3] & termios.ICANON)
