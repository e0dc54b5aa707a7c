// Random words over the stub's data, random requests, calls and clones by several threads of several processes, for some
// seconds; then an ordinary process of the same sandbox must be served as ever.
#include "escape.h"
#include <sys/ipc.h>
#include <sys/shm.h>

#define SECONDS 6
#define PROCESSES 4
#define THREADS 3
#define BLOCK 0x8000ul

static unsigned long area[0x4000] __attribute__((aligned(BLOCK))); // frames, blocks and arguments of our own
static char stacks[THREADS + 1][1 << 16] __attribute__((aligned(4096)));
static unsigned long writable[64]; // pages of the stub's
static int writables;
static long segment;

static unsigned long random_word(unsigned long *state) {
    *state ^= *state << 13, *state ^= *state >> 7, *state ^= *state << 17;
    return *state * 0x2545f4914f6cdd1d;
}
#define RANDOM random_word(state)

// What a number that a process hands over may be.
static unsigned long value(unsigned long *state) {
    unsigned long r = RANDOM;
    switch (r >> 8 & 15) {
    case 0: return 0;
    case 1: return r >> 61;
    case 2: return r >> 48;
    case 3: return -(r >> 56) - 1;
    case 4: return ~0ul << (r >> 58);
    case 5: return 1ul << (r >> 58);
    case 6: return STUB + (r >> 46 & 0x3fff8);
    case 7: return writables ? writable[r >> 32 & 63] + (r >> 50 & 0xff8) : 0;
    case 8: return 0x7ffffffff000 + (r >> 52);
    case 9: return r;
    case 10: return segment;
    default: return (unsigned long)area + (r >> 40 & 0x1fff8);
    }
}

// No call that may end or change others, or end us too early.
static long call_number(unsigned long *state) {
    for (;;) {
        long n = RANDOM % 470;
        if (n == SYS_kill || n == SYS_tkill || n == SYS_tgkill || n == SYS_rt_sigqueueinfo || n == SYS_rt_tgsigqueueinfo ||
            n == SYS_prlimit64 || n == SYS_fcntl || n == SYS_mq_notify || n == 424 /* pidfd_send_signal */)
            continue;
        if ((n == SYS_exit || n == SYS_exit_group || n == SYS_pause || n == SYS_execve) && RANDOM % 16)
            continue;
        return n;
    }
}

static void frame(unsigned long *at, unsigned long *state) {
    for (int i = 0; i < 120; i++)
        at[i] = value(state);
    static const long often[] = {SYS_mmap, SYS_shmat, SYS_shmdt, SYS_brk, SYS_rt_sigaction, SYS_clone, SYS_rt_sigprocmask,
                                 SYS_rt_sigsuspend, SYS_sigaltstack, SYS_fork, SYS_vfork, SYS_getppid};
    at[18] = RANDOM % 2 ? often[RANDOM % (sizeof often / sizeof *often)] : call_number(state); // rax
    if (RANDOM % 8)
        at[20] = (unsigned long)(area + 0x400 + RANDOM % 0x3000); // rsp
    if (RANDOM % 8)
        at[28] = (unsigned long)at + 448; // the extended state
}

static void caught(int signo) {
    (void)signo;
}

static int fuzz(void *argument) {
    unsigned long seed = (unsigned long)argument | 1, *state = &seed;
    for (;;) {
        unsigned long *at = area + RANDOM % 0x3f00;
        long (*call)(long, long, long, long, long, long, long) = RANDOM % 2 ? stub_raw : raw;
        switch (RANDOM % 16) {
        case 0: case 1: case 2: case 3: case 4: // a request, with a frame behind it
            frame(at, state);
            if (RANDOM % 4)
                call(SYS_lseek, REQUEST, RANDOM % 2 ? 2 : 4, (long)at, value(state), 0, 0);
            else
                call(SYS_lseek, REQUEST, RANDOM % 13, RANDOM % 4 ? (long)at : value(state), RANDOM % 4 ? (long)at : value(state),
                     value(state), value(state));
            for (int changes = 0; changes < 3 && RANDOM % 16; changes++) // whatever was ordered is said to be done
                call(SYS_lseek, REQUEST, 12, (long)at, 0, value(state), 0);
            break;
        case 5:; // a signal at a safe point that never was
            frame(at, state);
            static const int faults[] = {11, 7, 8, 4, 5, 23};
            call(SYS_lseek, REQUEST, 1, faults[RANDOM % 6], (long)at, value(state), 0);
            break;
        case 6: case 7:
            if (writables && RANDOM % 32 == 0)
                *(volatile unsigned long *)(writable[RANDOM % writables] + (RANDOM & 0xff8)) = value(state);
            break;
        case 8: case 9: case 10:
            call(call_number(state), value(state), value(state), value(state), value(state), value(state), value(state));
            break;
        case 11:
            call(SYS_shmdt, RAW(SYS_shmat, segment, 0, 0), 0, 0, 0, 0, 0);
            break;
        case 12: { // handlers and stacks that are nowhere
            unsigned long action[4] = {value(state), RANDOM, value(state), value(state)}, stack[3] = {value(state), 0, value(state)};
            if (RANDOM % 4)
                stack[0] = (unsigned long)area, stack[2] = sizeof area;
            if (RANDOM % 32 == 0)
                RAW(SYS_rt_sigaction, RANDOM % 65, action, 0, 8);
            RAW(SYS_sigaltstack, stack, 0);
            static const int signals[] = {10, 12, 34, 23, 17, 18};
            RAW(SYS_tgkill, getpid(), RAW(SYS_gettid), signals[RANDOM % 6]);
            break;
        }
        case 13: // a clone of our own, which may report in, under any id
            if (RANDOM % 8 == 0) {
                static const unsigned long masks[] = {0xd0f00, 0x2d0f00, 0x8000, 0x208000, 0x8100, 0x208100};
                unsigned long mask = masks[RANDOM % 6], *top = (void *)(stacks[THREADS] + sizeof stacks[0] - 4096);
                unsigned long *block = area + RANDOM % 4 * (BLOCK / 8);
                block[1] = RANDOM % 2 ? mask & ~0x8000ul : value(state);
                top[0] = 0;
                if (STUB_RAW(SYS_clone, mask, mask & 0x100 ? (long)top : 0, 0, 0, 0, RANDOM % 4 ? (long)block : value(state)) == 0) {
                    RAW(SYS_lseek, REQUEST, RANDOM % 2 ? 5 : RANDOM % 13, RANDOM % 4 ? block[0] : value(state), block);
                    if (RANDOM % 2)
                        RAW(SYS_sched_yield);
                } else if (RANDOM % 4 == 0)
                    RAW(SYS_lseek, REQUEST, 11, block[0], -11);
            }
            break;
        case 14:
            if (RANDOM % 64 == 0)
                RAW(SYS_munmap, STUB + (RANDOM & 0x1f000), 4096);
            else
                RAW(SYS_mmap, 0, 4096, 1, 2, RANDOM % 8, 0);
            break;
        case 15:
            if (RANDOM % 64 == 0)
                fork();
            break;
        }
    }
}

// Pages of the stub's that we may write: what is there is written and read back by calls, which fail where we may not.
static void find_writable(void) {
    int fds[2];
    if (pipe2(fds, O_NONBLOCK))
        exit(1);
    for (unsigned long page = STUB; page < STUB + 0x20000; page += 4096)
        if (write(fds[1], (void *)page, 1) == 1) {
            char byte;
            if (read(fds[0], (void *)page, 1) == 1)
                writable[writables++ & 63] = page;
            else
                (void)!read(fds[0], &byte, 1);
        }
    close(fds[0]), close(fds[1]);
}

static pid_t attacker(unsigned long seed) {
    pid_t pid = fork();
    if (pid)
        return pid;
    setpgid(0, 0);
    setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {2, 0}}, 0);
    for (int fd = 0; fd < 3; fd++)
        close(fd);
    struct sigaction action = {.sa_handler = caught, .sa_flags = seed & 2 ? SA_ONSTACK : SA_RESTART};
    for (int signo = 1; signo < 65; signo++)
        if (signo != SIGALRM)
            sigaction(signo, &action, 0);
    open("/escape/readable", O_RDONLY), open("/dev/zero", O_RDWR), open("/tmp/file", O_RDWR | O_CREAT, 0600);
    for (unsigned i = 0; i < sizeof area / 8; i++)
        area[i] = value(&seed);
    for (int i = 1; i < THREADS; i++)
        clone(fuzz, stacks[i] + sizeof stacks[0] - 4096, 0xd0f00, (void *)random_word(&seed), 0, stacks[i], 0);
    fuzz((void *)random_word(&seed));
    return 0;
}

// What any process may expect.
static void be_served(void) {
    char text[16] = {0};
    int fds[2], status, fd;
    for (int i = 0; i < 20; i++) {
        if (pipe(fds))
            escaped("no pipe: %d", errno);
        pid_t pid = fork();
        if (pid == 0)
            _exit(write(fds[1], "served", 7) == 7 ? 7 : 8);
        if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 7 << 8 || read(fds[0], text, 16) != 7)
            escaped("a child: %d, status %x, %s", pid, status, text);
        close(fds[0]), close(fds[1]);
    }
    long at = (long)shmat(segment = shmget(IPC_PRIVATE, 8192, 0600), 0, 0);
    if (at == -1 || (*(long *)at = 1, shmdt((void *)at)) || shmctl(segment, IPC_RMID, 0))
        escaped("no shared memory: %d", errno);
    if ((fd = open("/escape/readable", O_RDONLY)) < 0 || mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0) == MAP_FAILED)
        escaped("no file: %d", errno);
    sigset_t set, old;
    sigfillset(&set);
    if (sigprocmask(SIG_BLOCK, &set, &old) || raise(SIGUSR1) || sigwaitinfo(&set, 0) != SIGUSR1)
        escaped("no signal: %d", errno);
    contained();
}

int main(int argc, char **argv) {
    if (argc < 3)
        be_served();
    begin(argc, argv);
    take_stub_page();
    find_writable();
    segment = shmget(IPC_PRIVATE, 4096, 0600);
    unsigned long seed = argc > 7 ? strtoul(argv[7], 0, 0) : (unsigned long)time(0) * 2654435761u | 1;
    printf("seed %lu, %d pages\n", seed, writables);
    fflush(stdout);
    time_t end = time(0) + SECONDS;
    for (int running = 0; time(0) < end;) {
        while (running < PROCESSES && attacker(random_word(&seed)) > 0)
            running++;
        while (running && waitpid(-1, 0, running == PROCESSES ? 0 : WNOHANG) > 0)
            running--;
    }
    kill(-1, SIGKILL);
    while (wait(0) > 0)
        ;
    execl(argv[0], argv[0], "served", (char *)0);
    escaped("no exec: %d", errno);
}
