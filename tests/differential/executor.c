/*
 * Executes sequences of operations with raw system calls, and prints what each did: executor BASE < sequences
 *
 * Standard input holds many sequences. Each line is an operation, `OP ARG...`, or `P OP ARG...` for process P (0 to 3);
 * a line `.` ends the sequence. Numbers are numbers (names are resolved by sequences.py); a path `%` is empty, `%N` a
 * bad address, `%L255` a name of 255 letters. Each operation prints one line.
 *
 * Each sequence runs in a fresh directory w, in a fresh process (0), which may fork others (1 to 3). The *driver* (main)
 * sends an operation to its process by a pipe and waits for the reply, or for the end of the process, or until it has
 * stopped; an operation that blocks would take PATIENCE, which is long, since the machine may be busy.
 * After what may end or stop processes it waits until all have settled, so that what a later
 * wait4(2) sees does not depend on scheduling. What blocks is mostly avoided: see ready() and op_open().
 *
 * What differs between runs is printed so that sequences.py can tell it: P:pid, i=dev:inode, a= m= c= times.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

enum { ANY = -2, PROCESSES = 4, COMMAND = 900, REPLY = 910, SEND = 920, RECEIVE = 930, PATIENCE = 20000, BUFFER = 1 << 18 };

static char out[3900];
static unsigned used;
static char *args[10];
static int nargs, me, opno;
static char base[4096];
static const char *self;
static char buffer[BUFFER];
static struct { char *address; size_t size; int segment; } maps[4];
static volatile sig_atomic_t caught[64], ncaught;
static sigjmp_buf fault;
static volatile sig_atomic_t probing;

static void add(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    int n = vsnprintf(out + used, sizeof out - used, format, list);
    va_end(list);
    used = used + n < sizeof out - 1 ? used + n : sizeof out - 1;
}

static long result(long r)
{
    if (r < 0)
        add(" -%s", strerrorname_np(errno));
    else
        add(" %ld", r);
    return r;
}

/* A result of which only success counts. */
static long done(long r)
{
    return r < 0 ? result(r) : result(0);
}

static long long N(int i)
{
    return i < nargs ? strtoll(args[i], NULL, 0) : 0;
}

static int rooted; /* whether chroot(2) was called */
/* A path. What is absolute would leave the sequence's directory, on a machine that is needed, unless that is the root. */
static const char *S(int i)
{
    static char names[4][5000];
    const char *text = i < nargs ? args[i] : "%";
    if (*text == '/' && !rooted)
        return "w";
    if (*text != '%')
        return text;
    if (text[1] == 'N')
        return (const char *)8;
    int length = text[1] == 'L' ? atoi(text + 2) : 0;
    memset(names[i & 3], 'x', length);
    names[i & 3][length] = 0;
    return names[i & 3];
}

/* The bytes that an operation writes tell which one it was. */
static size_t fill(long long size)
{
    size_t n = size < 0 ? 0 : size > BUFFER ? BUFFER : size;
    memset(buffer, 'a' + opno % 26, n);
    return n;
}

static size_t room(long long size)
{
    size_t n = size < 0 ? 0 : size > BUFFER ? BUFFER : size;
    memset(buffer, '!', n);
    return n;
}

static void show(const char *data, long size)
{
    add(" \"");
    for (long i = 0, runs = 0; i < size; runs++) {
        long n = 1;
        while (i + n < size && data[i + n] == data[i])
            n++;
        if (runs == 40) {
            add("...");
            break;
        }
        if (data[i] > ' ' && data[i] < 127)
            add("%c", data[i]);
        else
            add("\\%d", data[i] & 255);
        if (n > 1)
            add("*%ld ", n);
        i += n;
    }
    add("\"");
}

static dev_t home; /* where named files are */
static const char *kind(unsigned mode, dev_t device)
{
    switch (mode & S_IFMT) {
    case S_IFREG: return "reg";
    case S_IFDIR: return "dir";
    case S_IFLNK: return "lnk";
    case S_IFIFO: return device == home ? "fifo" : "pipe";
    case S_IFSOCK: return "sock";
    case S_IFCHR: return "chr";
    case 0: return "anon";
    }
    return "?";
}

/* Whether a call that may block would not; says so if it would. */
static int ready(int fd, int events)
{
    struct stat st;
    int flags = syscall(SYS_fcntl, fd, F_GETFL);
    if (flags < 0 || flags & (O_NONBLOCK | O_PATH) || fstat(fd, &st))
        return 1;
    unsigned type = st.st_mode & S_IFMT;
    if (type != S_IFIFO && type != S_IFSOCK && type != 0)
        return 1;
    struct pollfd p = {fd, events, 0};
    if (poll(&p, 1, 0) == 1)
        return 1;
    add(" blocks");
    return 0;
}

/* What a write may be given that must not wait in the middle. */
static size_t bounded(int fd, size_t n)
{
    struct stat st;
    int flags = syscall(SYS_fcntl, fd, F_GETFL);
    if (n <= 4096 || flags < 0 || flags & O_NONBLOCK || fstat(fd, &st) || S_ISREG(st.st_mode))
        return n;
    return 4096;
}

static void show_stat(const struct stat *st)
{
    int queue = S_ISREG(st->st_mode) && st->st_size == 80 && st->st_dev != home; /* of the file system mqueue */
    add(" %s %o n%lu u%u g%u", queue ? "queue" : kind(st->st_mode, st->st_dev), st->st_mode & 07777, (unsigned long)st->st_nlink, st->st_uid, st->st_gid);
    if (S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) || S_ISDIR(st->st_mode))
        add(" s%ld", st->st_size);
    if (S_ISREG(st->st_mode))
        add(" b%ld", st->st_blocks);
    add(" i=%lx:%lx a=%ld.%09ld m=%ld.%09ld c=%ld.%09ld", st->st_dev, st->st_ino, st->st_atim.tv_sec,
        st->st_atim.tv_nsec, st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

/* -- files: opening, descriptors ------------------------------------------------------------------------------- */

static long to_openat(int at, const char *path, int flags, int mode)
{
    struct stat st;
    if (!(flags & (O_NONBLOCK | O_PATH)) && path > (char *)4096 && !fstatat(at, path, &st, 0) && S_ISFIFO(st.st_mode)
        && (flags & O_ACCMODE) != O_RDWR)
        flags |= O_NONBLOCK;
    return syscall(SYS_openat, at, path, flags, mode);
}

static void op_open(void) { result(to_openat(AT_FDCWD, S(0), N(1), N(2))); }
static void op_openat(void) { result(to_openat(N(0), S(1), N(2), N(3))); }
static void op_creat(void) { result(to_openat(AT_FDCWD, S(0), O_CREAT | O_WRONLY | O_TRUNC, N(1))); }
static void op_close(void) { result(syscall(SYS_close, (int)N(0))); }
static void op_close_range(void) { result(syscall(SYS_close_range, (unsigned)N(0), (unsigned)N(1), (int)N(2))); }
static void op_dup(void) { result(syscall(SYS_dup, (int)N(0))); }
static void op_dup2(void) { result(syscall(SYS_dup2, (int)N(0), (int)N(1))); }
static void op_dup3(void) { result(syscall(SYS_dup3, (int)N(0), (int)N(1), (int)N(2))); }
static void op_fcntl(void)
{
    long r = syscall(SYS_fcntl, (int)N(0), (int)N(1), N(2));
    result(r);
    if (r >= 0 && N(1) == F_GETFL)
        add(" 0%lo", r);
}
static void op_ioctl_nread(void)
{
    int n = -1;
    if (!done(syscall(SYS_ioctl, (int)N(0), FIONREAD, &n)))
        add(" %d", n);
}
static void op_ioctl_nbio(void)
{
    int on = N(1);
    result(syscall(SYS_ioctl, (int)N(0), FIONBIO, &on));
}
static void op_ioctl_cloexec(void) { result(syscall(SYS_ioctl, (int)N(0), N(1) ? FIOCLEX : FIONCLEX)); }

/* -- files: data ----------------------------------------------------------------------------------------------- */

static void op_read(void)
{
    size_t n = room(N(1));
    if (!ready(N(0), POLLIN))
        return;
    long r = result(syscall(SYS_read, (int)N(0), buffer, n));
    struct stat st;
    if (r > 0 && !fstat(N(0), &st) && (st.st_mode & S_IFMT) != 0) /* of anonymous files only eventfd's are equal */
        show(buffer, r);
    else if (r == 8)
        add(" value %llu", *(unsigned long long *)buffer);
}
static void op_write(void)
{
    size_t n = bounded(N(0), fill(N(1)));
    if (ready(N(0), POLLOUT))
        result(syscall(SYS_write, (int)N(0), buffer, n));
}
static void op_write_u64(void)
{
    unsigned long long value = N(1);
    if (ready(N(0), POLLOUT))
        result(syscall(SYS_write, (int)N(0), &value, 8));
}
static void op_pread(void)
{
    size_t n = room(N(1));
    long r = result(syscall(SYS_pread64, (int)N(0), buffer, n, N(2)));
    if (r > 0)
        show(buffer, r);
}
static void op_pwrite(void) { size_t n = fill(N(1)); result(syscall(SYS_pwrite64, (int)N(0), buffer, n, N(2))); }
static int vector(struct iovec *v, size_t n)
{
    size_t third = n / 3;
    v[0] = (struct iovec){buffer, third};
    v[1] = (struct iovec){buffer + third, 0};
    v[2] = (struct iovec){buffer + third, n - third};
    return 3;
}
static void op_readv(void)
{
    struct iovec v[3];
    int count = vector(v, room(N(1)));
    if (!ready(N(0), POLLIN))
        return;
    long r = result(syscall(SYS_readv, (int)N(0), v, count));
    struct stat st;
    if (r > 0 && !fstat(N(0), &st) && (st.st_mode & S_IFMT) != 0)
        show(buffer, r);
}
static void op_writev(void)
{
    struct iovec v[3];
    int count = vector(v, bounded(N(0), fill(N(1))));
    if (ready(N(0), POLLOUT))
        result(syscall(SYS_writev, (int)N(0), v, count));
}
static void op_preadv2(void)
{
    struct iovec v[3];
    int count = vector(v, room(N(1)));
    if (N(2) == -1 && !ready(N(0), POLLIN))
        return;
    long r = result(syscall(SYS_preadv2, (int)N(0), v, count, N(2), N(2) < 0 ? -1L : 0L, (int)N(3)));
    if (r > 0 && N(2) != -1)
        show(buffer, r);
}
static void op_pwritev2(void)
{
    struct iovec v[3];
    int count = vector(v, fill(N(1)));
    if (N(2) == -1 && !ready(N(0), POLLOUT))
        return;
    result(syscall(SYS_pwritev2, (int)N(0), v, count, N(2), N(2) < 0 ? -1L : 0L, (int)N(3)));
}
static void op_lseek(void) { result(syscall(SYS_lseek, (int)N(0), N(1), (int)N(2))); }
static void op_ftruncate(void) { result(syscall(SYS_ftruncate, (int)N(0), N(1))); }
static void op_truncate(void) { result(syscall(SYS_truncate, S(0), N(1))); }
static void op_fallocate(void) { result(syscall(SYS_fallocate, (int)N(0), (int)N(1), N(2), N(3))); }
static void op_fsync(void) { result(syscall(SYS_fsync, (int)N(0))); }
static void op_fadvise(void) { result(syscall(SYS_fadvise64, (int)N(0), N(1), N(2), (int)N(3))); }
static void op_copy_file_range(void)
{
    long from = N(1), to = N(3);
    long r = syscall(SYS_copy_file_range, (int)N(0), from < 0 ? NULL : &from, (int)N(2), to < 0 ? NULL : &to, N(4), (int)N(5));
    result(r);
    add(" %ld %ld", from, to);
}
static void op_sendfile(void)
{
    long from = N(2);
    if (!ready(N(0), POLLOUT) || !ready(N(1), POLLIN))
        return;
    result(syscall(SYS_sendfile, (int)N(0), (int)N(1), from < 0 ? NULL : &from, N(3)));
    add(" %ld", from);
}
static void op_splice(void)
{
    long from = N(1), to = N(3);
    if (!ready(N(0), POLLIN) || !ready(N(2), POLLOUT))
        return;
    result(syscall(SYS_splice, (int)N(0), from < 0 ? NULL : &from, (int)N(2), to < 0 ? NULL : &to, N(4), (int)N(5)));
    add(" %ld %ld", from, to);
}
static void op_tee(void) { result(syscall(SYS_tee, (int)N(0), (int)N(1), N(2), SPLICE_F_NONBLOCK)); }

/* -- names ----------------------------------------------------------------------------------------------------- */

static void op_mkdir(void) { result(syscall(SYS_mkdir, S(0), (int)N(1))); }
static void op_mkdirat(void) { result(syscall(SYS_mkdirat, (int)N(0), S(1), (int)N(2))); }
/* A tmpfs gives a directory the time that it gives the file which it loses, or has another name for. That may be the
 * one of the last tick, and the directory had a newer one since: nobody could tell that it has changed. */
static const char *tick(const char *path)
{
    struct timespec before, now;
    clock_gettime(CLOCK_REALTIME_COARSE, &before);
    do
        clock_gettime(CLOCK_REALTIME_COARSE, &now);
    while (now.tv_nsec == before.tv_nsec);
    return path;
}
static void op_rmdir(void) { result(syscall(SYS_rmdir, tick(S(0)))); }
static void op_unlink(void) { result(syscall(SYS_unlink, tick(S(0)))); }
static void op_unlinkat(void) { result(syscall(SYS_unlinkat, (int)N(0), tick(S(1)), (int)N(2))); }
static void op_rename(void) { result(syscall(SYS_rename, tick(S(0)), S(1))); }
static void op_renameat2(void) { result(syscall(SYS_renameat2, (int)N(0), tick(S(1)), (int)N(2), S(3), (unsigned)N(4))); }
static void op_link(void) { result(syscall(SYS_link, tick(S(0)), S(1))); }
static void op_linkat(void) { result(syscall(SYS_linkat, (int)N(0), tick(S(1)), (int)N(2), S(3), (int)N(4))); }
static void op_link_fd(void) /* as open(2) tells to do with O_TMPFILE, without privilege */
{
    char path[64];
    snprintf(path, sizeof path, "/proc/self/fd/%d", (int)N(0));
    result(syscall(SYS_linkat, AT_FDCWD, tick(path), AT_FDCWD, S(1), AT_SYMLINK_FOLLOW));
}
static void op_symlink(void) /* never absolute: who follows it may have another root */
{
    const char *target = S(0);
    while (target > (char *)4096 && *target == '/')
        target++;
    result(syscall(SYS_symlink, target, S(1)));
}
static void op_readlink(void)
{
    size_t n = room(N(1));
    long r = result(syscall(SYS_readlink, S(0), buffer, n));
    if (r > 0)
        show(buffer, r);
}
static void op_readlinkat(void)
{
    long r = result(syscall(SYS_readlinkat, (int)N(0), S(1), buffer, room(200)));
    if (r > 0)
        show(buffer, r);
}
static void op_mknod(void) { result(syscall(SYS_mknod, S(0), (int)N(1), 0)); }
static int compare(const void *a, const void *b) { return strcmp(*(char **)a, *(char **)b); }
static void op_getdents(void)
{
    static char text[200][300];
    char *names[200];
    int count = 0;
    long r;
    while ((r = syscall(SYS_getdents64, (int)N(0), buffer, N(1))) > 0)
        for (long i = 0; i < r && count < 200; i += *(unsigned short *)(buffer + i + 16)) {
            snprintf(text[count], 300, "%.20s:%d", buffer + i + 19, buffer[i + 18]);
            names[count] = text[count];
            count++;
        }
    result(r);
    qsort(names, count, sizeof *names, compare);
    for (int i = 0; i < count; i++)
        add(" %s", names[i]);
}
static void inside(void) /* a sequence stays in its directory: it may run on a machine that is needed */
{
    char cwd[4096];
    if (syscall(SYS_getcwd, cwd, sizeof cwd) < 0)
        return;
    if (rooted) {
        if (cwd[0] != '/' && !chdir("/"))
            add(" outside");
        return;
    }
    if (strncmp(cwd, base, strlen(base)) != 0 || (cwd[strlen(base)] && cwd[strlen(base)] != '/')) {
        add(" outside");
        if (chdir(base))
            add(" lost");
    }
}
static void op_chdir(void) { if (!result(syscall(SYS_chdir, S(0)))) inside(); }
static void op_chroot(void) /* of a child only: process 0 is to find what the sequence has made */
{
    if (!me)
        add(" kept");
    else if (!result(syscall(SYS_chroot, S(0)))) {
        rooted = 1;
        inside();
    }
}
static void op_fchdir(void) { if (!result(syscall(SYS_fchdir, (int)N(0)))) inside(); }
static void op_getcwd(void)
{
    char cwd[4096];
    long r = syscall(SYS_getcwd, cwd, N(0) ? (size_t)N(0) : sizeof cwd);
    if (r < 0)
        result(r);
    else
        add(" %s", cwd[0] != '/' ? "outside" : strncmp(cwd, base, strlen(base)) ? cwd : cwd + strlen(base));
}

/* -- attributes ------------------------------------------------------------------------------------------------ */

static void stat_at(int at, const char *path, int flags)
{
    struct stat st;
    if (!result(syscall(SYS_newfstatat, at, path, &st, flags)))
        show_stat(&st);
}
static void op_stat(void)
{
    struct stat st;
    if (!result(syscall(SYS_stat, S(0), &st)))
        show_stat(&st);
}
static void op_lstat(void)
{
    struct stat st;
    if (!result(syscall(SYS_lstat, S(0), &st)))
        show_stat(&st);
}
static void op_fstat(void)
{
    struct stat st;
    if (!result(syscall(SYS_fstat, (int)N(0), &st)))
        show_stat(&st);
}
static void op_fstatat(void) { stat_at(N(0), S(1), N(2)); }
static void op_statx(void)
{
    struct statx x;
    memset(&x, 0, sizeof x);
    if (!result(syscall(SYS_statx, (int)N(0), S(1), (int)N(2), (unsigned)N(3), &x)))
        add(" %s %o n%u u%u g%u s%llu mask %x", kind(x.stx_mode, home), x.stx_mode & 07777, x.stx_nlink, x.stx_uid, x.stx_gid,
            S_ISREG(x.stx_mode) || S_ISDIR(x.stx_mode) ? x.stx_size : 0, x.stx_mask & 0x7ff & ~0x20);
}
static void op_access(void) { result(syscall(SYS_access, S(0), (int)N(1))); }
static void op_faccessat2(void) { result(syscall(SYS_faccessat2, (int)N(0), S(1), (int)N(2), (int)N(3))); }
static void op_chmod(void) { result(syscall(SYS_chmod, S(0), (int)N(1))); }
static void op_fchmod(void) { result(syscall(SYS_fchmod, (int)N(0), (int)N(1))); }
static void op_fchmodat2(void) { result(syscall(SYS_fchmodat2, (int)N(0), S(1), (int)N(2), (int)N(3))); }
static void op_chown(void) { result(syscall(SYS_chown, S(0), (int)N(1), (int)N(2))); }
static void op_lchown(void) { result(syscall(SYS_lchown, S(0), (int)N(1), (int)N(2))); }
static void op_fchown(void) { result(syscall(SYS_fchown, (int)N(0), (int)N(1), (int)N(2))); }
static void op_umask(void) { result(syscall(SYS_umask, (int)N(0))); }
static void op_utimensat(void)
{
    struct timespec t[2] = {{N(2), N(2) & 1 ? 1 : 0}, {N(3), 0}};
    for (int i = 0; i < 2; i++)
        if (N(2 + i) < 0)
            t[i] = (struct timespec){0, N(2 + i) == -1 ? UTIME_NOW : N(2 + i) == -2 ? UTIME_OMIT : 2000000000};
    const char *path = strcmp(args[1], "%0") ? S(1) : NULL;
    result(syscall(SYS_utimensat, (int)N(0), path, t, (int)N(4)));
}
static void op_setxattr(void) { result(syscall(SYS_setxattr, S(0), S(1), buffer, fill(N(2)), (int)N(3))); }
static void op_fsetxattr(void) { result(syscall(SYS_fsetxattr, (int)N(0), S(1), buffer, fill(N(2)), (int)N(3))); }
static void op_getxattr(void)
{
    long r = result(syscall(SYS_getxattr, S(0), S(1), buffer, room(N(2))));
    if (r > 0 && N(2))
        show(buffer, r);
}
static void op_lgetxattr(void) { result(syscall(SYS_lgetxattr, S(0), S(1), buffer, room(N(2)))); }
static void op_fgetxattr(void) { result(syscall(SYS_fgetxattr, (int)N(0), S(1), buffer, room(N(2)))); }
static void op_removexattr(void) { result(syscall(SYS_removexattr, S(0), S(1))); }
static void op_listxattr(void)
{
    char *names[64];
    int count = 0;
    long r = result(syscall(SYS_listxattr, S(0), buffer, room(N(1))));
    for (char *p = buffer; N(1) && p < buffer + r && count < 64; p += strlen(p) + 1)
        names[count++] = p;
    qsort(names, count, sizeof *names, compare);
    for (int i = 0; i < count; i++)
        add(" %s", names[i]);
}

/* -- locks ----------------------------------------------------------------------------------------------------- */

static void op_flock(void) { result(syscall(SYS_flock, (int)N(0), (int)N(1) | LOCK_NB)); }
static void op_lock(void) /* fd F_SETLK|F_OFD_SETLK|F_GETLK|F_OFD_GETLK type whence start length */
{
    struct flock l = {.l_type = N(2), .l_whence = N(3), .l_start = N(4), .l_len = N(5)};
    if (!result(syscall(SYS_fcntl, (int)N(0), (int)N(1), &l)) && (N(1) == F_GETLK || N(1) == F_OFD_GETLK)) {
        add(" type %d", l.l_type);
        if (l.l_type != F_UNLCK)
            add(" whence %d %ld %ld P:%d", l.l_whence, l.l_start, l.l_len, l.l_pid);
    }
}

static void op_lockw(void) /* as lock, but waiting: only where it need not */
{
    int own = N(1) == F_SETLKW;
    struct flock l = {.l_type = N(2), .l_whence = N(3), .l_start = N(4), .l_len = N(5)}, other = l;
    if (l.l_type != F_UNLCK && !fcntl(N(0), own ? F_GETLK : F_OFD_GETLK, &other) && other.l_type != F_UNLCK)
        add(" blocks");
    else
        result(syscall(SYS_fcntl, (int)N(0), (int)N(1), &l));
}

/* -- owners and notices ---------------------------------------------------------------------------------------- */

static void op_setown(void) { result(syscall(SYS_fcntl, (int)N(0), F_SETOWN, N(1))); }
static void op_getown(void)
{
    struct f_owner_ex owner = {-1, 0};
    if (!done(syscall(SYS_fcntl, (int)N(0), F_GETOWN_EX, &owner)))
        add(" type %d P:%d", owner.type, owner.pid); /* F_GETOWN's answer may look like an error */
}
static void op_setown_ex(void) /* fd type id */
{
    struct f_owner_ex owner = {N(1), N(2)};
    result(syscall(SYS_fcntl, (int)N(0), F_SETOWN_EX, &owner));
}
static void op_inotify(void) { result(syscall(SYS_inotify_init1, (int)N(0))); }
static void op_inotify_add(void) { result(syscall(SYS_inotify_add_watch, (int)N(0), S(1), (unsigned)N(2))); }
static void op_inotify_rm(void) { result(syscall(SYS_inotify_rm_watch, (int)N(0), (int)N(1))); }
static void op_inotify_read(void) /* fd size */
{
    size_t n = room(N(1));
    if (!ready(N(0), POLLIN))
        return;
    long r = syscall(SYS_read, (int)N(0), buffer, n), numbers = 0;
    if (r < 0)
        result(r);
    for (long i = 0; i + 16 <= r;) {
        struct inotify_event *e = (struct inotify_event *)(buffer + i);
        int number = e->len && *e->name == '#'; /* a file of O_TMPFILE is called after its inode */
        add(" [%d %x%s %.20s]", e->wd, e->mask, e->cookie ? " cookie" : "", !e->len ? "" : number ? "#" : e->name);
        numbers += number ? e->len : 0;
        i += 16 + e->len;
    }
    if (r >= 0)
        add(" %ld", r - numbers);
}

/* -- pipes, sockets, events ------------------------------------------------------------------------------------ */

static void pair(long r, const int *fds)
{
    if (!result(r))
        add(" %d %d", fds[0], fds[1]);
}
static void op_pipe(void) { int fds[2]; pair(syscall(SYS_pipe2, fds, (int)N(0)), fds); }
static void op_socketpair(void)
{
    int fds[2];
    pair(syscall(SYS_socketpair, AF_UNIX, (int)N(0), 0, fds), fds);
}
static void op_socket(void) { result(syscall(SYS_socket, AF_UNIX, (int)N(0) | SOCK_NONBLOCK, 0)); }
static socklen_t name_socket(struct sockaddr_un *a, const char *path)
{
    memset(a, 0, sizeof *a);
    a->sun_family = AF_UNIX;
    if (path < (char *)4096)
        return 2;
    strncpy(a->sun_path, path, sizeof a->sun_path - 1);
    return 2 + strlen(a->sun_path) + 1;
}
static void op_bind(void)
{
    struct sockaddr_un a;
    socklen_t n = name_socket(&a, S(1));
    result(syscall(SYS_bind, (int)N(0), &a, n));
}
static void op_connect(void)
{
    struct sockaddr_un a;
    socklen_t n = name_socket(&a, S(1));
    result(syscall(SYS_connect, (int)N(0), &a, n));
}
static void op_listen(void) { result(syscall(SYS_listen, (int)N(0), (int)N(1))); }
static void op_accept(void)
{
    if (ready(N(0), POLLIN))
        result(syscall(SYS_accept4, (int)N(0), NULL, NULL, (int)N(1)));
}
static void op_socket_name(void) /* fd peer? */
{
    struct sockaddr_un a;
    socklen_t n = sizeof a;
    memset(&a, 0, sizeof a);
    if (!result(syscall(N(1) ? SYS_getpeername : SYS_getsockname, (int)N(0), &a, &n)))
        add(" %u %d %s", n, a.sun_family, a.sun_path);
}
static void op_getsockopt(void)
{
    int value = -1;
    socklen_t n = sizeof value;
    if (!result(syscall(SYS_getsockopt, (int)N(0), SOL_SOCKET, (int)N(1), &value, &n)))
        add(" %d", value);
}
static void op_send(void) { size_t n = fill(N(1)); result(syscall(SYS_sendto, (int)N(0), buffer, n, (int)N(2) | MSG_DONTWAIT, NULL, 0)); }
static void op_sendto(void)
{
    struct sockaddr_un a;
    socklen_t n = name_socket(&a, S(2));
    result(syscall(SYS_sendto, (int)N(0), buffer, fill(N(1)), MSG_DONTWAIT, &a, n));
}
static void op_recv(void)
{
    long r = result(syscall(SYS_recvfrom, (int)N(0), buffer, room(N(1)), (int)N(2) | MSG_DONTWAIT, NULL, NULL));
    if (r > 0)
        show(buffer, r < N(1) ? r : N(1));
}
static void op_sendfd(void) /* fd passed [count] */
{
    union { char space[CMSG_SPACE(2 * sizeof(int))]; struct cmsghdr align; } control;
    struct iovec v = {buffer, fill(1)};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE(sizeof(int))};
    memset(&control, 0, sizeof control);
    struct cmsghdr *c = CMSG_FIRSTHDR(&m);
    *c = (struct cmsghdr){.cmsg_len = CMSG_LEN(sizeof(int)), .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS};
    *(int *)CMSG_DATA(c) = N(1);
    result(syscall(SYS_sendmsg, (int)N(0), &m, MSG_DONTWAIT));
}
static void op_recvmsg(void) /* fd size flags control-size */
{
    union { char space[256]; struct cmsghdr align; } control;
    struct iovec v = {buffer, room(N(1))};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = N(3) & 255};
    memset(&control, 0, sizeof control);
    long r = result(syscall(SYS_recvmsg, (int)N(0), &m, (int)N(2) | MSG_DONTWAIT));
    if (r < 0)
        return;
    show(buffer, r < N(1) ? r : N(1));
    add(" flags %x", m.msg_flags);
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
        if (c->cmsg_type == SCM_RIGHTS)
            for (unsigned i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
                add(" fd %d", ((int *)CMSG_DATA(c))[i]);
        else
            add(" control %d", c->cmsg_type);
}
static void op_shutdown(void) { result(syscall(SYS_shutdown, (int)N(0), (int)N(1))); }
static void op_eventfd(void) { result(syscall(SYS_eventfd2, (unsigned)N(0), (int)N(1))); }
static void op_timerfd(void) { result(syscall(SYS_timerfd_create, (int)N(0), (int)N(1))); }
static void op_timerfd_set(void) /* fd: 1 disarms, 0 expires at once (absolute, long past) */
{
    struct itimerspec t = {{0, 0}, {N(1) ? 0 : 1, 0}};
    result(syscall(SYS_timerfd_settime, (int)N(0), TFD_TIMER_ABSTIME, &t, NULL));
}
static void op_signalfd(void)
{
    unsigned long mask = N(1);
    result(syscall(SYS_signalfd4, (int)N(0), &mask, 8, (int)N(2)));
}
static void op_memfd(void) { result(syscall(SYS_memfd_create, "memory", (unsigned)N(0))); }
static void op_poll(void)
{
    struct pollfd p[10];
    int n = 0;
    for (int i = 1; i < nargs && n < 10; i++)
        p[n++] = (struct pollfd){N(i), N(0), 0};
    result(syscall(SYS_poll, p, n, 0));
    for (int i = 0; i < n; i++)
        add(" %d:%x", p[i].fd, p[i].revents);
}
static void op_epoll_create(void) { result(syscall(SYS_epoll_create1, (int)N(0))); }
static void op_epoll_ctl(void) /* epfd op fd events */
{
    struct epoll_event e = {.events = N(3), .data.u64 = N(2)};
    result(syscall(SYS_epoll_ctl, (int)N(0), (int)N(1), (int)N(2), &e));
}
static int by_data(const void *a, const void *b)
{
    const struct epoll_event *x = a, *y = b;
    return x->data.u64 < y->data.u64 ? -1 : x->data.u64 > y->data.u64;
}
static void op_epoll_wait(void)
{
    struct epoll_event e[16];
    long r = result(syscall(SYS_epoll_pwait, (int)N(0), e, N(1) > 16 ? 16 : (int)N(1), 0, NULL, 8));
    if (r > 0)
        qsort(e, r, sizeof *e, by_data);
    for (long i = 0; i < r; i++)
        add(" %lu:%x", (unsigned long)e[i].data.u64, e[i].events);
}

/* -- memory ---------------------------------------------------------------------------------------------------- */

static long drop(int i)
{
    char *address = maps[i].address;
    maps[i].address = NULL;
    return !address ? 0 : maps[i].segment ? syscall(SYS_shmdt, address) : munmap(address, maps[i].size);
}
static void op_mmap(void) /* slot fd prot flags size offset */
{
    int i = N(0) & 3;
    drop(i);
    maps[i].size = N(4) > 0 && N(4) <= 1 << 20 ? N(4) : 4096;
    char *address = (char *)syscall(SYS_mmap, NULL, maps[i].size, (int)N(2), (int)N(3), (int)N(1), N(5));
    maps[i].address = address == MAP_FAILED ? NULL : address;
    maps[i].segment = 0;
    done(address == MAP_FAILED ? -1 : 0);
}
static void op_munmap(void)
{
    int i = N(0) & 3;
    if (!maps[i].address) {
        add(" none");
        return;
    }
    result(drop(i));
}
static void memory(int poke)
{
    int i = N(0) & 3;
    size_t offset = N(1), size = N(2);
    if (!maps[i].address || offset >= maps[i].size) {
        add(" none");
        return;
    }
    if (size > maps[i].size - offset)
        size = maps[i].size - offset;
    int signal = sigsetjmp(fault, 1);
    if (signal) {
        add(" %s", sigabbrev_np(signal));
        return;
    }
    probing = 1;
    if (poke)
        memset(maps[i].address + offset, 'A' + opno % 26, size);
    else
        memcpy(buffer, maps[i].address + offset, size);
    probing = 0;
    if (poke)
        add(" ok");
    else
        show(buffer, size);
}
static void op_peek(void) { memory(0); }
static void op_poke(void) { memory(1); }
static void op_msync(void)
{
    int i = N(0) & 3;
    if (maps[i].address)
        result(syscall(SYS_msync, maps[i].address, maps[i].size, (int)N(1)));
    else
        add(" none");
}

/* A part of an area, within it: what lies beyond is anybody's. */
static char *part(int offset, int size, size_t *length)
{
    int i = N(0) & 3;
    size_t end = (maps[i].size + 4095) & -4096ul;
    if (!maps[i].address || N(offset) < 0 || (size_t)N(offset) >= end) {
        add(" none");
        return NULL;
    }
    *length = N(size) < 0 ? 0 : (size_t)N(size) < end - N(offset) ? (size_t)N(size) : end - N(offset);
    return maps[i].address + N(offset);
}
static void op_mprotect(void) /* slot offset size prot */
{
    size_t n;
    char *address = part(1, 2, &n);
    if (address)
        result(syscall(SYS_mprotect, address, n, (int)N(3)));
}
static void op_madvise(void) /* slot offset size advice */
{
    size_t n;
    char *address = part(1, 2, &n);
    if (address)
        result(syscall(SYS_madvise, address, n, (int)N(3)));
}
static void op_mremap(void) /* slot size */
{
    int i = N(0) & 3;
    if (!maps[i].address || N(1) > 1 << 20) {
        add(" none");
        return;
    }
    char *address = (char *)syscall(SYS_mremap, maps[i].address, maps[i].size, (size_t)N(1), MREMAP_MAYMOVE);
    if (done(address == MAP_FAILED ? -1 : 0) < 0)
        return;
    maps[i].address = address;
    maps[i].size = N(1);
}

/* -- processes, signals, credentials --------------------------------------------------------------------------- */

static void op_getpid(void) { add(" P:%ld P:%ld", syscall(SYS_getpid), syscall(SYS_getppid)); }
static void ids(long r)
{
    if (r < 0)
        result(r);
    else
        add(" P:%ld", r);
}
static void op_getpgid(void) { ids(syscall(SYS_getpgid, (int)N(0))); }
static void op_getsid(void) { ids(syscall(SYS_getsid, (int)N(0))); }
static void op_setpgid(void) { result(syscall(SYS_setpgid, (int)N(0), (int)N(1))); }
static void op_setsid(void) { ids(syscall(SYS_setsid)); }
static void op_kill(void) { result(syscall(SYS_kill, (int)N(0), (int)N(1))); }
static void op_raise(void) { result(syscall(SYS_tgkill, syscall(SYS_getpid), syscall(SYS_gettid), (int)N(0))); }
static void op_wait4(void)
{
    int status = 0;
    long r = syscall(SYS_wait4, (int)N(0), &status, (int)N(1) | WNOHANG, NULL);
    if (r <= 0) {
        result(r);
        return;
    }
    add(" P:%ld %s%x", r, WCOREDUMP(status) ? "core " : "", status & ~0x80);
}
static void op_waitid(void)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (!result(syscall(SYS_waitid, (int)N(0), (int)N(1), &info, (int)N(2) | WNOHANG, NULL)) && info.si_pid)
        add(" P:%d code %d status %d uid %d signo %d", info.si_pid, info.si_code == CLD_DUMPED ? CLD_KILLED : info.si_code,
            info.si_status, info.si_uid, info.si_signo);
}
static void handler(int signal)
{
    if (probing && (signal == SIGBUS || signal == SIGSEGV)) {
        probing = 0;
        siglongjmp(fault, signal);
    }
    if (ncaught < 64)
        caught[ncaught++] = signal;
}
static long set_handler(int signal, int how, int flags, unsigned long mask)
{
    struct sigaction action = {.sa_flags = flags};
    action.sa_handler = how == 0 ? SIG_DFL : how == 1 ? SIG_IGN : handler;
    for (int s = 1; s < 32; s++)
        if (mask >> (s - 1) & 1)
            sigaddset(&action.sa_mask, s);
    return sigaction(signal, &action, NULL);
}
static void op_sigaction(void) { result(set_handler(N(0), N(1), N(2), N(3))); }
static void op_sigprocmask(void)
{
    unsigned long set = N(1), old = 0;
    if (!result(syscall(SYS_rt_sigprocmask, (int)N(0), &set, &old, 8)))
        add(" %lx", old);
}
static void op_sigpending(void)
{
    unsigned long set = 0;
    if (!result(syscall(SYS_rt_sigpending, &set, 8)))
        add(" %lx", set);
}
static void op_sigtimedwait(void)
{
    unsigned long set = N(0);
    struct timespec zero = {0, 0};
    siginfo_t info;
    memset(&info, 0, sizeof info);
    if (result(syscall(SYS_rt_sigtimedwait, &set, &info, &zero, 8)) > 0)
        add(" code %d P:%d", info.si_code, info.si_signo == SIGCHLD ? 0 : info.si_pid);
}
static void op_become(void) /* uid: for good */
{
    gid_t none[1];
    result(syscall(SYS_setgroups, 0, none));
    result(syscall(SYS_setresgid, N(0), N(0), N(0)));
    result(syscall(SYS_setresuid, N(0), N(0), N(0)));
}
static void op_setreuid(void) { result(syscall(SYS_setreuid, (int)N(0), (int)N(1))); }
static void op_setresuid(void) { result(syscall(SYS_setresuid, (int)N(0), (int)N(1), (int)N(2))); }
static void op_setfsuid(void) { result(syscall(SYS_setfsuid, (int)N(0))); }
static void op_setregid(void) { result(syscall(SYS_setregid, (int)N(0), (int)N(1))); }
static void op_getuid(void)
{
    unsigned u[3], g[3];
    syscall(SYS_getresuid, u, u + 1, u + 2);
    syscall(SYS_getresgid, g, g + 1, g + 2);
    add(" %u %u %u, %u %u %u", u[0], u[1], u[2], g[0], g[1], g[2]);
}
static void op_prctl(void) { result(syscall(SYS_prctl, (int)N(0), N(1), N(2), 0, 0)); }
static void set_limit(int which)
{
    struct rlimit limit;
    getrlimit(which, &limit);
    limit.rlim_cur = N(0);
    result(syscall(SYS_prlimit64, 0, which, &limit, NULL));
}
static void op_nofile(void) { set_limit(RLIMIT_NOFILE); }
static void op_fsize(void) { set_limit(RLIMIT_FSIZE); }
static void op_fds(void)
{
    for (int fd = 0; fd < 40; fd++) {
        int flags = fcntl(fd, F_GETFD);
        if (flags >= 0)
            add(" %d%s", fd, flags & FD_CLOEXEC ? "c" : "");
    }
}
static void op_ping(void) {}
static void op_sync(void) {}
static void op_exit(void) {}

static void worker(void);
static void op_fork(void)
{
    pid_t pid = syscall(SYS_fork);
    if (pid == 0) {
        me = N(0) & 3;
        worker();
    }
    ids(pid);
}
static void op_exec(void)
{
    char number[4][16], *argv[] = {(char *)self, base, number[0], number[1], NULL}, *environment[] = {NULL};
    snprintf(number[0], 16, "%d", me);
    snprintf(number[1], 16, "%d", opno);
    result(syscall(SYS_execve, self, argv, environment));
}

#include "ipc.h"

#define OP(name) {#name, op_##name}
static const struct operation { const char *name; void (*run)(void); } operations[] = {
    OP(open), OP(openat), OP(creat), OP(close), OP(close_range), OP(dup), OP(dup2), OP(dup3), OP(fcntl),
    OP(ioctl_nread), OP(ioctl_nbio), OP(ioctl_cloexec), OP(read), OP(write), OP(write_u64), OP(pread), OP(pwrite),
    OP(readv), OP(writev), OP(preadv2), OP(pwritev2), OP(lseek), OP(ftruncate), OP(truncate), OP(fallocate), OP(fsync),
    OP(fadvise), OP(copy_file_range), OP(sendfile), OP(splice), OP(tee), OP(mkdir), OP(mkdirat), OP(rmdir), OP(unlink),
    OP(unlinkat), OP(rename), OP(renameat2), OP(link), OP(linkat), OP(link_fd), OP(symlink), OP(readlink),
    OP(readlinkat), OP(mknod), OP(getdents), OP(chdir), OP(fchdir), OP(getcwd), OP(stat), OP(lstat), OP(fstat),
    OP(fstatat), OP(statx), OP(access), OP(faccessat2), OP(chmod), OP(fchmod), OP(fchmodat2), OP(chown), OP(lchown),
    OP(fchown), OP(umask), OP(utimensat), OP(setxattr), OP(fsetxattr), OP(getxattr), OP(lgetxattr), OP(fgetxattr),
    OP(removexattr), OP(listxattr), OP(flock), OP(lock), OP(pipe), OP(socketpair), OP(socket), OP(bind), OP(connect),
    OP(listen), OP(accept), OP(socket_name), OP(getsockopt), OP(send), OP(sendto), OP(recv), OP(sendfd), OP(recvmsg),
    OP(shutdown), OP(eventfd), OP(timerfd), OP(timerfd_set), OP(signalfd), OP(memfd), OP(poll), OP(epoll_create),
    OP(epoll_ctl), OP(epoll_wait), OP(mmap), OP(munmap), OP(peek), OP(poke), OP(msync), OP(getpid), OP(getpgid),
    OP(getsid), OP(setpgid), OP(setsid), OP(kill), OP(raise), OP(wait4), OP(waitid), OP(sigaction), OP(sigprocmask),
    OP(sigpending), OP(sigtimedwait), OP(become), OP(setreuid), OP(setresuid), OP(setfsuid), OP(setregid), OP(getuid),
    OP(prctl), OP(nofile), OP(fds), OP(ping), OP(sync), OP(exit), OP(fork), OP(exec),
    OP(chroot), OP(lockw), OP(setown), OP(getown), OP(setown_ex), OP(inotify), OP(inotify_add), OP(inotify_rm),
    OP(inotify_read), OP(mprotect), OP(madvise), OP(mremap), OP(fsize), OP(semget), OP(semop), OP(semctl), OP(msgget),
    OP(msgsnd), OP(msgrcv), OP(msgctl), OP(shmget), OP(shmat), OP(shmdt), OP(shmctl), OP(mq_open), OP(mq_unlink),
    OP(mq_send), OP(mq_receive), OP(mq_attr), OP(mq_notify), OP(timerfd_arm), OP(timerfd_get), OP(setitimer),
    OP(getitimer), OP(alarm), OP(timer_create), OP(timer_settime), OP(timer_gettime), OP(timer_getoverrun),
    OP(timer_delete),
};

/* -- the process that executes --------------------------------------------------------------------------------- */

/* What was caught during kill(2) may be one signal more or less: it waits for the next reply but one, a ping. */
static void reply(const char *name)
{
    char line[4096];
    if (!strcmp(name, "kill") || !strcmp(name, "sync"))
        goto send;
    for (int i = 0; i < ncaught; i++)
        add(" caught %s", sigabbrev_np(caught[i]));
    ncaught = 0;
send:;
    int n = snprintf(line, sizeof line, "%d %d%s\n", me, opno, out);
    if (write(REPLY, line, n) != n)
        _exit(99);
    used = 0;
    out[0] = 0;
}

static void worker(void)
{
    static char line[8192];
    used = 0;
    out[0] = 0;
    for (;;) {
        ssize_t n = read(COMMAND + me, line, sizeof line - 1);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            _exit(0);
        line[n] = 0;
        char *save, *word = strtok_r(line, " \n", &save);
        opno = atoi(word);
        char *name = strtok_r(NULL, " \n", &save);
        for (nargs = 0; nargs < 10 && (word = strtok_r(NULL, " \n", &save)); nargs++)
            args[nargs] = word;
        const struct operation *found = NULL;
        for (unsigned i = 0; i < sizeof operations / sizeof *operations; i++)
            if (!strcmp(name, operations[i].name))
                found = operations + i;
        if (found)
            found->run();
        else
            add(" unknown");
        reply(name);
        if (!strcmp(name, "exit"))
            syscall(SYS_exit_group, (int)N(0));
    }
}

static void start_handlers(void)
{
    set_handler(SIGPIPE, 2, 0, 0);
    set_handler(SIGBUS, 2, 0, 0);
    set_handler(SIGSEGV, 2, 0, 0);
    set_handler(SIGXFSZ, 2, 0, 0);
    struct stat st;
    home = stat(base, &st) ? 0 : st.st_dev;
}

static void after_exec(int number, int operation)
{
    me = number;
    opno = operation;
    start_handlers();
    add(" exec");
    op_fds();
    op_sigpending();
    unsigned long old = 0;
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &old, 8);
    add(" mask %lx", old);
    reply("exec");
    worker();
}

/* -- the driver ------------------------------------------------------------------------------------------------ */

static struct { pid_t pid; int pidfd; int alive, stuck, gone; } process[PROCESSES];
static char replies[16384];
static size_t nreplies;

static void move(int from, int to)
{
    if (dup2(from, to) < 0)
        exit(98);
    close(from);
}

static int stopped(pid_t pid)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    int fd = open(path, O_RDONLY);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, sizeof text - 1);
    close(fd);
    text[n > 0 ? n : 0] = 0;
    char *end = strrchr(text, ')');
    return end && end[1] && end[2] == 'T';
}

/* The reply of a process (ANY: the one that is still due); NULL if it ended, stopped or said nothing. Replies that come
 * late are dropped: only their process's being stuck is over. */
static char *await(int p, int number, int look_for_stop, int patience)
{
    static char text[4200];
    for (int waited = 0;;) {
        char *end;
        while ((end = memchr(replies, '\n', nreplies))) {
            int who, which, used_up;
            *end = 0;
            sscanf(replies, "%d %d%n", &who, &which, &used_up);
            snprintf(text, sizeof text, "%s", replies + used_up);
            nreplies -= end + 1 - replies;
            memmove(replies, end + 1, nreplies);
            process[who].stuck = 0;
            if (who == p && (which == number || number == ANY))
                return text;
        }
        struct pollfd fds[2] = {{RECEIVE, POLLIN, 0}, {process[p].pidfd, POLLIN, 0}};
        int step = look_for_stop ? 5 : patience;
        int n = poll(fds, 2, step);
        if (fds[0].revents & POLLIN) {
            ssize_t got = read(RECEIVE, replies + nreplies, sizeof replies - nreplies);
            nreplies += got > 0 ? got : 0;
            continue;
        }
        if (n > 0) {
            process[p].alive = 0;
            return NULL;
        }
        if (look_for_stop && stopped(process[p].pid)) {
            process[p].stuck = 1;
            return NULL;
        }
        if ((waited += step) >= patience) {
            process[p].stuck = 1;
            return NULL;
        }
    }
}

static void order(int p, int number, const char *text)
{
    char line[8200];
    int n = snprintf(line, sizeof line, "%d %s\n", number, text);
    if (write(SEND + p, line, n) != n)
        exit(97);
}

/* Wait until each process idles, is stopped, or has ended; then let each say what it caught meanwhile. */
static void settle(void)
{
    for (int p = 0; p < PROCESSES; p++)
        if (process[p].alive && (!process[p].stuck || await(p, ANY, 1, PATIENCE)) && process[p].alive) {
            order(p, -1, "sync");
            if (!await(p, -1, 1, PATIENCE))
                printf("  process %d %s\n", p, process[p].alive ? "stopped" : "ended");
        }
    for (int p = 0; p < PROCESSES; p++)
        if (process[p].alive && !process[p].stuck) {
            order(p, -1, "ping");
            char *text = await(p, -1, 1, PATIENCE);
            if (!text || *text)
                printf("  process %d%s\n", p, text ? text : " is gone");
        }
}

static void add_process(int p, pid_t pid)
{
    process[p].pid = pid;
    process[p].alive = 1;
    process[p].stuck = process[p].gone = 0;
    process[p].pidfd = syscall(SYS_pidfd_open, pid, 0);
    fcntl(process[p].pidfd, F_SETFD, FD_CLOEXEC);
}

/* The id of process N, or one that nobody has: before it was made, and after it was waited for, when the id might be
 * given to a process that is not ours. */
static pid_t id_of(int p)
{
    if (process[p].pid && !process[p].alive && kill(process[p].pid, 0) && errno == ESRCH)
        process[p].gone = 1;
    return process[p].pid && !process[p].gone ? process[p].pid : 99999999;
}

/* Replace each @N by the id of process N. */
static void substitute(char *to, size_t size, const char *from)
{
    size_t n = 0;
    for (; *from && n + 16 < size; from++)
        if (*from == '@' && from[1] >= '0' && from[1] < '0' + PROCESSES) {
            n += snprintf(to + n, 16, "%d", id_of(from[1] - '0'));
            from++;
        } else {
            to[n++] = *from;
        }
    to[n] = 0;
}

static int notices; /* whether an operation of one process may be told to another by a signal */

static void execute(int number, char *line)
{
    char text[8192], name[64] = "";
    int p = 0, q = -1;
    if (line[0] >= '0' && line[0] < '0' + PROCESSES && line[1] == ' ') {
        p = line[0] - '0';
        line += 2;
    }
    substitute(text, sizeof text, line);
    sscanf(text, "%63s %d", name, &q);
    if (!process[p].alive) {
        printf("%d %s: no process\n", p, name);
        return;
    }
    if (!strcmp(name, "kill") && strncmp(line, "kill @", 6) && strncmp(line, "kill 0 ", 7)) {
        printf("%d kill: refused\n", p); /* of ids only our own: this may run on a machine that is needed */
        return;
    }
    if (!strcmp(name, "fork") && (q < 0 || q >= PROCESSES || process[q].pid)) {
        printf("%d %s: taken\n", p, name);
        return;
    }
    if (process[p].stuck && !await(p, ANY, 1, PATIENCE)) {
        printf("%d %s: %s\n", p, name, process[p].alive ? "stuck" : "no process");
        return;
    }
    order(p, number, text);
    char *answer = await(p, number, !strcmp(name, "kill") || !strcmp(name, "raise") || !strcmp(name, "sigprocmask") || !strcmp(name, "sigaction"),
                         PATIENCE);
    printf("%d %s:%s\n", p, name, answer ? answer : process[p].alive ? " no answer" : " ended");
    notices |= !strcmp(name, "mq_notify") || !strncmp(name, "setown", 6);
    char *pid = answer ? strstr(answer, "P:") : NULL;
    if (!strcmp(name, "fork") && pid)
        add_process(q, atoi(pid + 2));
    if (!strcmp(name, "kill") || !strcmp(name, "raise") || !strcmp(name, "exit") || !strcmp(name, "sigprocmask")
        || !strcmp(name, "setpgid") || notices)
        settle();
}

static void start(const char *directory)
{
    int fds[2];
    notices = 0;
    for (int p = 0; p < PROCESSES; p++) {
        if (pipe(fds))
            exit(96);
        move(fds[0], COMMAND + p);
        move(fds[1], SEND + p);
        process[p].pid = 0;
        process[p].alive = 0;
    }
    if (pipe(fds))
        exit(96);
    move(fds[0], RECEIVE);
    move(fds[1], REPLY);
    nreplies = 0;
    fflush(stdout);
    pid_t pid = fork();
    if (pid == 0) {
        for (int p = 0; p < PROCESSES; p++)
            close(SEND + p);
        close(RECEIVE);
        int null = open("/dev/null", O_RDWR);
        for (int fd = 0; fd < 3; fd++)
            dup2(null, fd);
        close(null);
        strcpy(base, directory);
        if (chdir(directory))
            _exit(95);
        umask(022);
        setpgid(0, 0); /* so that signals to the group are not the driver's too */
        setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        start_handlers();
        me = 0;
        worker();
    }
    add_process(0, pid);
}

static void end(const char *directory)
{
    for (int p = 0; p < PROCESSES; p++)
        if (process[p].pid) {
            if (process[p].alive)
                syscall(SYS_pidfd_send_signal, process[p].pidfd, SIGKILL, NULL, 0);
            close(process[p].pidfd);
            process[p].pid = 0;
        }
    for (int p = 0; p < PROCESSES; p++) {
        close(SEND + p);
        close(COMMAND + p);
    }
    close(RECEIVE);
    close(REPLY);
    while (waitpid(-1, NULL, 0) > 0 || errno == EINTR)
        ;
    remove_objects();
    remove_queues(directory);
}

static void remove_tree(int at, const char *name)
{
    int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    if (fd < 0) {
        fchmodat(at, name, 0700, 0);
        fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW);
    }
    if (fd < 0) {
        unlinkat(at, name, 0);
        return;
    }
    fchmod(fd, 0700);
    DIR *directory = fdopendir(fd);
    struct dirent *entry;
    while ((entry = readdir(directory)))
        if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..") && unlinkat(fd, entry->d_name, 0))
            remove_tree(fd, entry->d_name);
    closedir(directory);
    unlinkat(at, name, AT_REMOVEDIR);
}

int main(int argc, char **argv)
{
    static char line[8192];
    char directory[4200], outer[4100];
    self = argv[0];
    if (argc == 4) {
        strcpy(base, argv[1]);
        after_exec(atoi(argv[2]), atoi(argv[3]));
    }
    int prepared = argc == 3; /* BASE/0/w, BASE/1/w ... are there already */
    pid_t pid = fork();
    if (pid) {
        int status;
        waitpid(pid, &status, 0);
        return WIFEXITED(status) ? WEXITSTATUS(status) : 94;
    }
    setsid();
    prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
    umask(022);
    for (int number = 1; number <= SIGRTMAX; number++) /* whatever was ignored or blocked by who started the long run */
        signal(number, SIG_DFL);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (unshare(CLONE_NEWIPC)) /* if it may, on the host */
        errno = 0;
    objects = mmap(NULL, sizeof *objects, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (objects == MAP_FAILED)
        return 92;
    memset(objects, -1, sizeof *objects);
    int running = 0, number = 0, sequence = 0;
    while (fgets(line, sizeof line, stdin)) {
        line[strcspn(line, "\n")] = 0;
        if (!running) {
            snprintf(outer, sizeof outer, "%s/%d", argv[1], sequence);
            snprintf(directory, sizeof directory, "%s/w", outer);
            if (!prepared && (mkdir(outer, 0777) || mkdir(directory, 0777) || chmod(outer, 0777) || chmod(directory, 0777)))
                return 93;
            start(directory);
            running = 1;
            number = 0;
        }
        if (!strcmp(line, ".")) {
            end(directory);
            printf(".\n");
            fflush(stdout);
            remove_tree(AT_FDCWD, outer);
            running = 0;
            sequence++;
        } else {
            execute(number++, line);
        }
    }
    fflush(stdout);
    return 0;
}
