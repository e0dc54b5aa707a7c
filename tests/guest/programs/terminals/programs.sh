# Programs that look at their terminal, or paint on it.
script -qc 'tty | cut -c1-9; stty -a | head -3; test -t 0 && echo yes; echo $(stty -g)' /dev/null </dev/null
script -qec 'exit 9' /dev/null </dev/null; echo $?
seq 100 > lines
drive() {
    python3 - "$@" <<'EOF'
import fcntl, os, pty, select, struct, sys, termios, time
keys = [k.encode().decode("unicode_escape").encode("latin-1") for k in sys.argv[1].split(",")]
pid, fd = pty.fork()
if not pid:
    os.environ["TERM"] = "vt100"
    time.sleep(0.1)
    os.execvp(sys.argv[2], sys.argv[2:])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 10, 40, 0, 0))
seen = b""
quiet = 0
while True:
    if select.select([fd], [], [], 0.7)[0]:
        try:
            data = os.read(fd, 4096)
        except OSError:
            data = b""
        if not data:
            break
        seen += data
    elif keys:
        os.write(fd, keys.pop(0))
    else:
        quiet += 1
        if quiet > 20:
            break
print(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), [n for n in (1, 9, 50, 92, 100) if b"%d\r\n" % n in seen])
EOF
}
drive ' ,G,q' less lines
drive 'dd,ihello\x1b,:wq\r' vim -u NONE -N -n lines
head -2 lines
drive ' ,q' more lines
