"""Who may do what: random owners, modes, users, groups and umasks, and what each of some operations answers."""

import ctypes
import errno
import os
import random
import shutil

libc = ctypes.CDLL(None, use_errno=True)
MODES = (
    0o777, 0o755, 0o700, 0o070, 0o007, 0o750, 0o711, 0o1777, 0o2775, 0o555, 0o500, 0o1755, 0, 0o666, 0o644, 0o4755,
    0o2755, 0o6711,
)  # fmt: skip
USERS, GROUPS = (0, 1000, 1001, 1002), (0, 2000, 2001, 2002)


def exchange(old, new):
    if libc.renameat2(-100, old.encode(), -100, new.encode(), 2):
        raise OSError(ctypes.get_errno(), "renameat2")


def append(path):
    with open(path, "ab") as file:
        file.write(b"z")


def operations(gid, other):
    os_open = os.open
    return [
        lambda: os_open("f", os.O_RDONLY), lambda: os_open("f", os.O_WRONLY), lambda: os_open("f", os.O_RDWR | os.O_TRUNC),
        lambda: os_open("f", os.O_RDONLY | os.O_NOATIME), lambda: os_open("c", os.O_CREAT | os.O_RDWR, 0o6777),
        lambda: os_open(".", os.O_TMPFILE | os.O_RDWR, 0o2777), lambda: os.listdir("."), lambda: os.listdir("s"),
        lambda: os.mkdir("n", 0o2777), lambda: os.mkfifo("p", 0o2755), lambda: os.mknod("dev", 0o20600, 0x103),
        lambda: os.symlink("a", "sl"), lambda: os.unlink("g"), lambda: os.rmdir("s"), lambda: os.rename("f", "r"),
        lambda: os.rename("f", "g"), lambda: os.rename("s", "s2"), lambda: os.rename("f", "s/f"),
        lambda: os.rename("s/x", "x"), lambda: exchange("f", "g"), lambda: exchange("f", "s"), lambda: os.link("f", "h"),
        lambda: os.link("f", "s/h"), lambda: os.chmod("f", 0o6755), lambda: os.chmod("s", 0o2755),
        lambda: os.chown("f", -1, other), lambda: os.chown("f", os.getuid(), gid), lambda: os.chown("s", -1, gid),
        lambda: os.lchown("l", -1, gid), lambda: os.utime("f"), lambda: os.utime("f", (1, 2)),
        lambda: os.truncate("f", 1), lambda: append("f"), lambda: os.stat("s/x"), lambda: os.readlink("l"),
        lambda: os.setxattr("s", "user.a", b"1"), lambda: os.getxattr("f", "user.a"),
    ]  # fmt: skip


def answers(chosen, todo):
    for index in chosen:
        try:
            todo[index]()
            yield "ok"
        except OSError as error:
            yield errno.errorcode[error.errno]


def tree(directory):
    for top, directories, files in os.walk(directory):
        for name in directories + files:
            facts = os.lstat(f"{top}/{name}")
            yield name, oct(facts.st_mode), facts.st_uid, facts.st_gid, facts.st_nlink


def case(number, choose):
    directory = f"d{number}"
    os.mkdir(directory)
    os.chdir(directory)
    os.mkdir("s")
    os.symlink("f", "l")
    for name in ("f", "g", "s/x"):
        with open(name, "w") as file:
            file.write("data")
    for name in ("s", "f", "g", "."):
        os.chown(name, choose.choice(USERS), choose.choice(GROUPS))
        os.chmod(name, choose.choice(MODES))
    uid, gid, groups = choose.choice(USERS), choose.choice(GROUPS), choose.sample(GROUPS, choose.randrange(3))
    umask = choose.choice((0, 0o22, 0o77))
    todo = operations(gid, choose.choice(GROUPS))
    chosen = [choose.randrange(len(todo)) for _ in range(14)]
    print(number, (uid, gid, groups, oct(umask)), flush=True)
    if os.fork() == 0:
        os.umask(umask)
        os.setgroups(groups)
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
        print(*zip(chosen, answers(chosen, todo)), flush=True)
        os._exit(0)
    os.wait()
    os.chdir("..")
    print(*sorted(tree(directory)))
    shutil.rmtree(directory)


if os.getuid() == 0:
    os.umask(0)
    os.mkdir("permissions")
    os.chmod("permissions", 0o755)
    os.chdir("permissions")
    try:
        choices = random.Random(7)
        for count in range(60):
            case(count, choices)
    finally:
        os.rmdir("../permissions")
