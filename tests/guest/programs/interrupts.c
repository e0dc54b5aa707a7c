// EINTR and restart (man 7 signal): each blocking call is met by a signal while it blocks, in six ways, and what came of
// it is printed: its result, how often handlers ran, and for sleeps how much was left. What still blocks then is
// released. interrupts [NAME...]: only the calls whose names begin so.
#include "check.h"
#include <linux/futex.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/select.h>
#include <sys/sendfile.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>

enum { RESTART, PLAIN, IGNORED, BY_DEFAULT, STOPPED, MASKED, MODES };
static const char *const MODE[] = {"SA_RESTART", "handler", "SIG_IGN", "ignored by default", "stop+cont", "blocked"};

static struct report {
    atomic_int handled, released, done;
    long result, left; // left: -1 unless the call says how much
    int error, word;
    char line[256];
} *shared;
static int fd[2], fd2[2], made;
static struct sockaddr_un name = {AF_UNIX, "interrupts.sock"};
static char bytes[1 << 17];

static void on_signal(int signo) { signo == SIGUSR2 ? shared->released++ : shared->handled++; }

// -- what there is to block on ---------------------------------------------------------------------------------------

static void make_pipe(void) { if (pipe(fd)) abort(); }
static void fill(int to) {
    int flags = fcntl(to, F_GETFL);
    fcntl(to, F_SETFL, flags | O_NONBLOCK);
    while (write(to, bytes, 4096) > 0) {}
    while (write(to, bytes, 1) > 0) {}
    fcntl(to, F_SETFL, flags);
}
static void full_pipe(void) { make_pipe(), fill(fd[1]); }
static void two_pipes(void) { full_pipe(); if (pipe(fd2) || write(fd2[1], "abc", 3) != 3) abort(); }
static void make_sockets(void) { if (socketpair(AF_UNIX, SOCK_STREAM, 0, fd)) abort(); }
static void timed(int option) {
    struct timeval t = {0, 400000};
    make_sockets();
    if (setsockopt(fd[0], SOL_SOCKET, option, &t, sizeof t)) abort();
}
static void timed_receive(void) { timed(SO_RCVTIMEO); }
static void timed_send(void) { timed(SO_SNDTIMEO), fill(fd[0]); }
static void full_sockets(void) { make_sockets(), fill(fd[0]); }
static void make_datagrams(void) { if (socketpair(AF_UNIX, SOCK_DGRAM, 0, fd)) abort(); }
static void full_datagrams(void) { make_datagrams(), fill(fd[0]); }
static void make_fifo(void) { unlink("interrupts.fifo"); if (mkfifo("interrupts.fifo", 0600)) abort(); }
static void listener(void) {
    unlink(name.sun_path);
    fd[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    if (bind(fd[0], (void *)&name, sizeof name) || listen(fd[0], 0)) abort();
}
static void timed_listener(void) {
    struct timeval t = {0, 400000};
    listener();
    if (setsockopt(fd[0], SOL_SOCKET, SO_RCVTIMEO, &t, sizeof t)) abort();
}
static void full_listener(void) {
    listener();
    fd[1] = socket(AF_UNIX, SOCK_STREAM, 0), fd2[0] = socket(AF_UNIX, SOCK_STREAM, 0);
    if (connect(fd[1], (void *)&name, sizeof name)) abort();
}
static void timed_full_listener(void) {
    struct timeval t = {0, 400000};
    full_listener();
    if (setsockopt(fd2[0], SOL_SOCKET, SO_SNDTIMEO, &t, sizeof t)) abort();
}
static void make_epoll(void) {
    make_pipe();
    fd2[0] = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    if (epoll_ctl(fd2[0], EPOLL_CTL_ADD, fd[0], &event)) abort();
}
static void make_eventfd(void) { fd[1] = fd[0] = eventfd(0, 0); }
static void full_eventfd(void) {
    uint64_t most = UINT64_MAX - 1;
    make_eventfd();
    if (write(fd[0], &most, 8) != 8) abort();
}
static void make_timerfd(void) { fd[0] = timerfd_create(CLOCK_MONOTONIC, 0); }
static void make_signalfd(void) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    fd[0] = signalfd(-1, &set, 0);
}
static void make_file(void) {
    fd[0] = open("interrupts.lock", O_RDWR | O_CREAT, 0600), fd[1] = open("interrupts.lock", O_RDWR);
    if (fd[0] < 0 || fd[1] < 0) abort();
}
static void flocked(void) { make_file(); if (flock(fd[1], LOCK_EX)) abort(); }
static int lock(int file, int how, int type) {
    struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
    return fcntl(file, how, &lock);
}
static void ofd_locked(void) { make_file(); if (lock(fd[1], F_OFD_SETLK, F_WRLCK)) abort(); }
static void file_and_full_pipe(void) {
    full_pipe();
    fd2[0] = open("interrupts.data", O_RDWR | O_CREAT, 0600);
    if (write(fd2[0], bytes, 10) != 10 || lseek(fd2[0], 0, SEEK_SET)) abort();
}
static void none(void) {}

// -- the calls -------------------------------------------------------------------------------------------------------

static struct timespec after(int clock, long ms) {
    struct timespec t;
    clock_gettime(clock, &t);
    t.tv_nsec += ms * 1000000;
    t.tv_sec += t.tv_nsec / 1000000000, t.tv_nsec %= 1000000000;
    return t;
}
static const struct timespec SHORT = {0, 400000000};
static long kept(long result, struct timespec left) {
    shared->left = left.tv_sec * 1000 + left.tv_nsec / 1000000;
    return result;
}

static long do_read(void) { return read(fd[0], bytes, 8); }
static long do_readv(void) { struct iovec v = {bytes, 8}; return readv(fd[0], &v, 1); }
static long do_write(void) { return write(fd[1], bytes, 8); }
static long do_write_much(void) { return write(fd[1], bytes, sizeof bytes) > 0; }
static long do_write0(void) { return write(fd[0], bytes, 8); }
static long do_open_read(void) { return open("interrupts.fifo", O_RDONLY) >= 0 ? 0 : -1; }
static long do_open_write(void) { return open("interrupts.fifo", O_WRONLY) >= 0 ? 0 : -1; }
static long do_accept(void) { return accept(fd[0], NULL, NULL) >= 0 ? 0 : -1; }
static long do_connect(void) { return connect(fd2[0], (void *)&name, sizeof name); }
static long do_recv(void) { return recv(fd[0], bytes, 8, 0); }
static long do_recv_all(void) { return recv(fd[0], bytes, 8, MSG_WAITALL); }
static long do_recvmsg(void) {
    struct iovec v = {bytes, 8};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    return recvmsg(fd[0], &m, 0);
}
static long do_recvmmsg(void) {
    struct iovec v = {bytes, 8};
    struct mmsghdr m = {.msg_hdr = {.msg_iov = &v, .msg_iovlen = 1}};
    return recvmmsg(fd[0], &m, 1, 0, NULL);
}
static long do_send(void) { return send(fd[0], bytes, 8, 0); }
static long do_sendmsg(void) {
    struct iovec v = {bytes, 8};
    struct msghdr m = {.msg_iov = &v, .msg_iovlen = 1};
    return sendmsg(fd[0], &m, 0);
}
static long do_poll(void) { struct pollfd p = {fd[0], POLLIN, 0}; return syscall(SYS_poll, &p, 1, -1); }
static long do_poll_short(void) { struct pollfd p = {fd[0], POLLIN, 0}; return syscall(SYS_poll, &p, 1, 400); }
static long do_ppoll(void) {
    struct pollfd p = {fd[0], POLLIN, 0};
    struct timespec t = SHORT;
    return kept(syscall(SYS_ppoll, &p, 1, &t, NULL, 8), t);
}
static long do_select(void) {
    fd_set set;
    struct timeval t = {0, 400000};
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    long result = syscall(SYS_select, fd[0] + 1, &set, NULL, NULL, &t);
    return kept(result, (struct timespec){t.tv_sec, t.tv_usec * 1000});
}
static long do_select_ever(void) {
    fd_set set;
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    return syscall(SYS_select, fd[0] + 1, &set, NULL, NULL, NULL);
}
static long do_pselect(void) {
    fd_set set;
    struct timespec t = SHORT;
    FD_ZERO(&set);
    FD_SET(fd[0], &set);
    return kept(syscall(SYS_pselect6, fd[0] + 1, &set, NULL, NULL, &t, NULL), t);
}
static long do_epoll(void) { struct epoll_event e; return epoll_wait(fd2[0], &e, 1, -1); }
static long do_epoll_short(void) { struct epoll_event e; return epoll_wait(fd2[0], &e, 1, 400); }
static long do_epoll_pwait2(void) {
    struct epoll_event e;
    return syscall(SYS_epoll_pwait2, fd2[0], &e, 1, &SHORT, NULL, 8);
}
static long do_nanosleep(void) {
    struct timespec left = {0, 0};
    long result = syscall(SYS_nanosleep, &SHORT, &left);
    return result ? kept(result, left) : 0;
}
static long sleep_on(int clock, int flags, struct timespec time) {
    struct timespec left = {0, 0};
    long result = syscall(SYS_clock_nanosleep, clock, flags, &time, &left);
    return result ? kept(result, left) : 0;
}
static long do_sleep_for(void) { return sleep_on(CLOCK_MONOTONIC, 0, SHORT); }
static long do_sleep_until(void) { return sleep_on(CLOCK_MONOTONIC, TIMER_ABSTIME, after(CLOCK_MONOTONIC, 400)); }
static long do_sleep_until_real(void) { return sleep_on(CLOCK_REALTIME, TIMER_ABSTIME, after(CLOCK_REALTIME, 400)); }
static long futex(int operation, const struct timespec *timeout, unsigned bits) {
    return syscall(SYS_futex, &shared->word, operation, 0, timeout, NULL, bits);
}
static long do_futex(void) { return futex(FUTEX_WAIT, NULL, 0); }
static long do_futex_short(void) { return futex(FUTEX_WAIT, &SHORT, 0); }
static long do_futex_until(void) {
    struct timespec t = after(CLOCK_MONOTONIC, 400);
    return futex(FUTEX_WAIT_BITSET, &t, ~0u);
}
static pid_t sleeper(void) {
    pid_t pid = fork();
    if (!pid) {
        close(fd[1]);
        char byte;
        signal(SIGUSR1, SIG_IGN), signal(SIGUSR2, SIG_IGN);
        _exit(read(fd[0], &byte, 1) < 0);
    }
    return pid;
}
static long do_wait4(void) {
    made = sleeper();
    long result = wait4(made, NULL, 0, NULL);
    return result < 0 ? result : result == made;
}
static long do_waitid(void) {
    siginfo_t info;
    made = sleeper();
    return waitid(P_PID, made, &info, WEXITED);
}
static long do_pause(void) { return pause(); }
static long do_sigsuspend(void) {
    sigset_t set;
    sigprocmask(SIG_BLOCK, NULL, &set);
    return sigsuspend(&set);
}
static long wait_signal(const struct timespec *timeout) {
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return syscall(SYS_rt_sigtimedwait, &set, NULL, timeout, 8);
}
static long do_sigwaitinfo(void) { return wait_signal(NULL); }
static long do_sigtimedwait(void) { return wait_signal(&SHORT); }
static long do_flock(void) { return flock(fd[0], LOCK_EX); }
static long do_setlkw(void) { return lock(fd[0], F_SETLKW, F_WRLCK); }
static long do_ofd_setlkw(void) { return lock(fd[0], F_OFD_SETLKW, F_WRLCK); }
static long do_write_eventfd(void) { uint64_t one = 1; return write(fd[0], &one, 8); }
static long do_read_timerfd(void) {
    struct itimerspec t = {.it_value = SHORT};
    timerfd_settime(fd[0], 0, &t, NULL);
    return do_read();
}
static long do_read_signalfd(void) { char info[128]; return read(fd[0], info, 128); }
static long do_splice(void) { return splice(fd2[0], NULL, fd[1], NULL, 8, 0); }
static long do_tee(void) { return tee(fd2[0], fd[1], 8, 0); }
static long do_sendfile(void) { return sendfile(fd[1], fd2[0], NULL, 8); }
static long do_vmsplice(void) { struct iovec v = {bytes, 8}; return vmsplice(fd[1], &v, 1, 0); }
static long do_vfork(void) {
    pid_t pid = vfork();
    if (!pid) {
        struct timespec t = SHORT;
        while (syscall(SYS_nanosleep, &t, &t)) {}
        _exit(0);
    }
    return pid > 0;
}

// -- what releases them ----------------------------------------------------------------------------------------------

static void give(pid_t pid) { (void)!write(fd[1], "12345678", 8), (void)pid; }
static void drain(pid_t pid) {
    static char room[1 << 18];
    fcntl(fd[0], F_SETFL, O_NONBLOCK);
    while (!shared->done)
        if (read(fd[0], room, sizeof room) <= 0) nap(1);
    (void)pid;
}
static void drain1(pid_t pid) {
    int other = fd[0];
    fd[0] = fd[1], drain(pid), fd[0] = other;
}
static void one(pid_t pid) { (void)!write(fd[1], "\1\0\0\0\0\0\0", 8), (void)pid; }
static void empty(pid_t pid) { (void)!read(fd[0], bytes, 8), (void)pid; }
static void open_writer(pid_t pid) { (void)pid, made = open("interrupts.fifo", O_WRONLY | O_NONBLOCK); }
static void open_reader(pid_t pid) { (void)pid, made = open("interrupts.fifo", O_RDONLY | O_NONBLOCK); }
static void dial(pid_t pid) {
    fd[1] = socket(AF_UNIX, SOCK_STREAM, 0), (void)pid;
    if (connect(fd[1], (void *)&name, sizeof name)) abort();
}
static void take(pid_t pid) { close(accept(fd[0], NULL, NULL)), (void)pid; }
static void tell(pid_t pid) { kill(pid, SIGUSR2); }
static void queue(pid_t pid) { kill(pid, SIGRTMIN); }
static void wake(pid_t pid) { (void)pid, syscall(SYS_futex, &shared->word, FUTEX_WAKE, 1, NULL, NULL, 0); }
static void unlock(pid_t pid) { flock(fd[1], LOCK_UN), close(fd[1]), (void)pid; }
static void unlock_ofd(pid_t pid) { lock(fd[1], F_OFD_SETLK, F_UNLCK), (void)pid; }
static void hold(pid_t pid) { (void)pid; } // it ends by itself

static const struct {
    const char *name;
    void (*setup)(void);
    long (*call)(void);
    void (*release)(pid_t);
} CALLS[] = {
    {"read pipe", make_pipe, do_read, give}, {"readv pipe", make_pipe, do_readv, give},
    {"write pipe", full_pipe, do_write, drain}, {"write pipe in parts", make_pipe, do_write_much, drain},
    {"read socket", make_sockets, do_read, give}, {"write socket", full_sockets, do_write0, drain1},
    {"open fifo reading", make_fifo, do_open_read, open_writer}, {"open fifo writing", make_fifo, do_open_write, open_reader},
    {"accept", listener, do_accept, dial}, {"accept timed", timed_listener, do_accept, dial},
    {"connect", full_listener, do_connect, take}, {"connect timed", timed_full_listener, do_connect, take},
    {"recv", make_sockets, do_recv, give}, {"recv timed", timed_receive, do_recv, give},
    {"recv all", make_sockets, do_recv_all, give},
    {"recvmsg", make_datagrams, do_recvmsg, give}, {"recvmsg timed", timed_receive, do_recvmsg, give},
    {"recvmmsg", make_datagrams, do_recvmmsg, give}, {"send", full_sockets, do_send, drain1},
    {"send timed", timed_send, do_send, drain1}, {"sendmsg", full_datagrams, do_sendmsg, drain1},
    {"poll", make_pipe, do_poll, give}, {"poll short", make_pipe, do_poll_short, give},
    {"ppoll short", make_pipe, do_ppoll, hold}, {"select", make_pipe, do_select_ever, give},
    {"select short", make_pipe, do_select, hold}, {"pselect short", make_pipe, do_pselect, hold},
    {"epoll_wait", make_epoll, do_epoll, give}, {"epoll_wait short", make_epoll, do_epoll_short, hold},
    {"epoll_pwait2 short", make_epoll, do_epoll_pwait2, hold}, {"nanosleep", none, do_nanosleep, hold},
    {"clock_nanosleep", none, do_sleep_for, hold}, {"clock_nanosleep absolute", none, do_sleep_until, hold},
    {"clock_nanosleep realtime", none, do_sleep_until_real, hold}, {"futex", none, do_futex, wake},
    {"futex short", none, do_futex_short, hold}, {"futex until", none, do_futex_until, hold},
    {"wait4", make_pipe, do_wait4, give}, {"waitid", make_pipe, do_waitid, give}, {"pause", none, do_pause, tell},
    {"sigsuspend", none, do_sigsuspend, tell}, {"sigwaitinfo", none, do_sigwaitinfo, queue},
    {"sigtimedwait", none, do_sigtimedwait, hold}, {"flock", flocked, do_flock, unlock},
    {"F_SETLKW", ofd_locked, do_setlkw, unlock_ofd}, {"F_OFD_SETLKW", ofd_locked, do_ofd_setlkw, unlock_ofd},
    {"read eventfd", make_eventfd, do_read, one}, {"write eventfd", full_eventfd, do_write_eventfd, empty},
    {"read timerfd", make_timerfd, do_read_timerfd, hold}, {"read signalfd", make_signalfd, do_read_signalfd, queue},
    {"splice", two_pipes, do_splice, drain}, {"tee", two_pipes, do_tee, drain},
    {"sendfile", file_and_full_pipe, do_sendfile, drain}, {"vmsplice", full_pipe, do_vmsplice, drain},
    {"vfork", none, do_vfork, hold},
};

// -- one of them, met in one way -------------------------------------------------------------------------------------

static int sleeps(pid_t pid) {
    char state = state_of(pid);
    return state == 'S' || state == 'D';
}

static void until_asleep(pid_t pid) { // or done, or as good as it gets
    for (int seen = 0, i = 0; seen < 3 && i < 2000 && !shared->done; i++) {
        seen = sleeps(pid) ? seen + 1 : 0;
        nap(2);
    }
}

static void meet(unsigned which, int mode) {
    CALLS[which].setup();
    int signo = mode == BY_DEFAULT ? SIGWINCH : mode == STOPPED ? SIGSTOP : SIGUSR1;
    struct timespec start = after(CLOCK_MONOTONIC, 0), end;
    pid_t pid = fork();
    if (!pid) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = 0};
        sigaction(SIGUSR2, &action, NULL);
        if (mode == RESTART) action.sa_flags = SA_RESTART;
        if (mode == IGNORED) action.sa_handler = SIG_IGN;
        if (mode != BY_DEFAULT) sigaction(SIGUSR1, &action, NULL);
        if (mode == MASKED) {
            sigset_t set;
            sigemptyset(&set), sigaddset(&set, SIGUSR1);
            sigprocmask(SIG_BLOCK, &set, NULL);
        }
        errno = 0;
        long result = CALLS[which].call();
        shared->error = result < 0 ? errno : 0;
        shared->result = result;
        shared->done = 1;
        _exit(0);
    }
    until_asleep(pid);
    kill(pid, signo);
    if (mode == STOPPED) {
        int status = 0;
        waitpid(pid, &status, WUNTRACED);
        if (WIFSTOPPED(status)) kill(pid, SIGCONT), waitpid(pid, &status, WCONTINUED);
    }
    if (mode <= PLAIN)
        for (int i = 0; i < 2000 && !shared->handled && !shared->done; i++) nap(1);
    else nap(3);
    until_asleep(pid);
    int early = shared->done;
    if (!early) CALLS[which].release(pid);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {}
    clock_gettime(CLOCK_MONOTONIC, &end);
    long ms = (end.tv_sec - start.tv_sec) * 1000 + (end.tv_nsec - start.tv_nsec) / 1000000;
    FILE *line = fmemopen(shared->line, sizeof shared->line - 1, "w");
    fprintf(line, "%s, %s: ", CALLS[which].name, MODE[mode]);
    if (shared->result < 0) fprintf(line, "%s", strerrorname_np(shared->error));
    else fprintf(line, "%ld", shared->result);
    fprintf(line, ", %s, handled %d", early ? "at once" : ms >= 395 ? "to its end" : "released", shared->handled);
    if (shared->released) fprintf(line, ", told %d", shared->released);
    if (shared->left >= 0) fprintf(line, ", %s left", shared->left ? "some" : "nothing");
    fclose(line);
}

// The six ways at the same time, each in a process and a directory of its own.
static void meet_in_all_ways(unsigned which, struct report *reports) {
    memset(reports, 0, MODES * sizeof *reports);
    for (int mode = 0; mode < MODES; mode++) {
        if (fork()) continue;
        char directory[16];
        snprintf(directory, sizeof directory, "way%d", mode);
        mkdir(directory, 0700);
        if (chdir(directory)) abort();
        shared = reports + mode;
        shared->left = -1, fd[0] = fd[1] = fd2[0] = fd2[1] = -1;
        meet(which, mode);
        _exit(0);
    }
    while (wait(NULL) > 0) {}
    for (int mode = 0; mode < MODES; mode++)
        puts(reports[mode].line);
}

int main(int argc, char **argv) {
    struct report *reports = mmap(NULL, MODES * sizeof *reports, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    signal(SIGPIPE, SIG_IGN);
    for (unsigned i = 0; i < sizeof CALLS / sizeof *CALLS; i++) {
        int wanted = argc < 2;
        for (int n = 1; n < argc; n++) wanted |= !strncmp(CALLS[i].name, argv[n], strlen(argv[n]));
        if (wanted) fflush(stdout), meet_in_all_ways(i, reports);
    }
    return 0;
}
