// What a handler is told: siginfo of every source, and of a fault the machine context; SA_* flags, masks and stacks.
#include "check.h"
#include <poll.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/signalfd.h>
#include <ucontext.h>

static sigjmp_buf back;
static siginfo_t seen;
static ucontext_t context;
static volatile sig_atomic_t count;
static int faulting;
static char *page;

static void on_signal(int signo, siginfo_t *info, void *state) {
    // Alignment checks off: libc passes none. (The handler starts with them on.)
    asm volatile("sub $128, %%rsp; pushfq; andq $~0x40000, (%%rsp); popfq; add $128, %%rsp" ::: "memory", "cc");
    (void)signo;
    seen = *info, count++;
    memcpy(&context, state, 304); // the kernel's struct ucontext
    if (faulting) siglongjmp(back, 1);
}
static void catch(int signo, int flags) {
    struct sigaction action = {.sa_sigaction = on_signal, .sa_flags = SA_SIGINFO | flags};
    sigaction(signo, &action, NULL);
}
static const char *who(pid_t pid) {
    return pid == 0 ? "nobody" : pid == getpid() ? "self" : pid == getppid() ? "parent" : "other";
}

static void sent(const char *what) {
    printf("%s: signal %d errno %d code %d from %s uid %d value %d\n", what, seen.si_signo, seen.si_errno, seen.si_code,
           who(seen.si_pid), seen.si_uid == getuid(), seen.si_int);
    memset(&seen, 0, sizeof seen);
}

static void sources(void) {
    union sigval value = {.sival_int = 42};
    catch(SIGUSR1, 0), catch(SIGRTMIN, 0), catch(SIGPIPE, 0), catch(SIGALRM, 0), catch(SIGWINCH, 0);
    kill(getpid(), SIGUSR1), sent("kill");
    raise(SIGUSR1), sent("raise");
    syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1), sent("tgkill");
    syscall(SYS_tkill, gettid(), SIGUSR1), sent("tkill");
    sigqueue(getpid(), SIGUSR1, value), sent("sigqueue");
    sigqueue(getpid(), SIGRTMIN, value), sent("sigqueue real-time");
    pthread_sigqueue(pthread_self(), SIGUSR1, value), sent("pthread_sigqueue");
    int pidfd = syscall(SYS_pidfd_open, getpid(), 0);
    syscall(SYS_pidfd_send_signal, pidfd, SIGUSR1, NULL, 0), sent("pidfd_send_signal");
    int fd[2];
    (void)!pipe(fd), close(fd[0]);
    FAILS(write(fd[1], "x", 1)), sent("pipe");
    (void)!socketpair(AF_UNIX, SOCK_STREAM, 0, fd), close(fd[0]);
    FAILS(send(fd[1], "x", 1, 0)), sent("socket");
    FAILS(send(fd[1], "x", 1, MSG_NOSIGNAL)), sent("socket without");
    struct itimerval soon = {{0, 0}, {0, 1000}};
    count = 0, setitimer(ITIMER_REAL, &soon, NULL);
    while (!count) nap(1);
    sent("setitimer");
    count = 0, alarm(1);
    while (!count) nap(10);
    sent("alarm");
    timer_t timer;
    struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN, .sigev_value = value};
    struct itimerspec spec = {{0, 0}, {0, 1000000}};
    timer_create(CLOCK_MONOTONIC, &event, &timer);
    count = 0, timer_settime(timer, 0, &spec, NULL);
    while (!count) nap(1);
    printf("timer: code %d overrun %d value %d, its id: %d\n", seen.si_code, seen.si_overrun, seen.si_int, seen.si_timerid == 0);
    event.sigev_notify = SIGEV_THREAD_ID, event._sigev_un._tid = gettid();
    timer_t other;
    SHOW(timer_create(CLOCK_MONOTONIC, &event, &other));
    count = 0, timer_settime(other, 0, &spec, NULL);
    while (!count) nap(1);
    printf("timer to a thread: code %d value %d\n", seen.si_code, seen.si_int);
    event._sigev_un._tid = 1;
    FAILS(timer_create(CLOCK_MONOTONIC, &event, &other));
    // overruns: blocked for many periods
    sigset_t set;
    sigemptyset(&set), sigaddset(&set, SIGRTMIN);
    sigprocmask(SIG_BLOCK, &set, NULL);
    spec.it_interval.tv_nsec = 2000000;
    timer_settime(timer, 0, &spec, NULL), nap(100);
    siginfo_t info;
    sigwaitinfo(&set, &info);
    printf("blocked timer: code %d, overruns %s, timer_getoverrun %s\n", info.si_code,
           info.si_overrun > 30 && info.si_overrun < 500 ? "many" : "wrong", timer_getoverrun(timer) > 30 ? "many" : "wrong");
    timer_delete(timer);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    count = 0;
    pid_t pid = fork();
    if (!pid) { kill(getppid(), SIGUSR1); _exit(0); }
    while (!count) nap(1);
    printf("from a child: code %d pid %d\n", seen.si_code, seen.si_pid == pid);
    waitpid(pid, NULL, 0);
}

static void child(const char *what) {
    printf("SIGCHLD, %s: code %d status %d uid %d times %d\n", what, seen.si_code, seen.si_status, seen.si_uid == getuid(),
           seen.si_utime < 100 && seen.si_stime < 100);
}
static void wait_count(int wanted) {
    for (int i = 0; i < 3000 && count < wanted; i++) nap(1);
}
static pid_t pauser(void) {
    pid_t pid = fork();
    if (!pid) for (;;) pause();
    return pid;
}
static void children(void) {
    catch(SIGCHLD, 0);
    count = 0;
    if (!fork()) _exit(77);
    wait_count(1), child("exited"), wait(NULL);
    count = 0;
    pid_t pid = pauser();
    kill(pid, SIGSTOP), wait_count(1), child("stopped");
    count = 0, kill(pid, SIGCONT), wait_count(1), child("continued");
    count = 0, kill(pid, SIGTERM), wait_count(1), child("killed"), wait(NULL);
    catch(SIGCHLD, SA_NOCLDSTOP), count = 0;
    pid = pauser();
    kill(pid, SIGSTOP), waitpid(pid, NULL, WUNTRACED), kill(pid, SIGCONT), waitpid(pid, NULL, WCONTINUED);
    printf("SA_NOCLDSTOP: %d\n", count);
    kill(pid, SIGKILL), wait_count(1), child("killed"), wait(NULL);
    catch(SIGCHLD, SA_NOCLDWAIT), count = 0;
    if (!fork()) _exit(5);
    FAILS(wait(NULL));
    printf("SA_NOCLDWAIT: told %d\n", count), child("unwaited");
    signal(SIGCHLD, SIG_DFL);
    siginfo_t info;
    pid = pauser();
    int options[] = {WSTOPPED, WCONTINUED, WEXITED}, signals[] = {SIGSTOP, SIGCONT, SIGKILL};
    for (int i = 0; i < 3; i++) {
        kill(pid, signals[i]);
        for (int keep = 1; keep >= 0; keep--) {
            memset(&info, 0, sizeof info);
            FAILS(waitid(P_PID, pid, &info, options[i] | (keep ? WNOWAIT : 0)));
            printf("waitid: signal %d code %d status %d pid %d\n", info.si_signo, info.si_code, info.si_status, info.si_pid == pid);
        }
    }
    FAILS(waitid(P_PID, pid, &info, WEXITED));
}

// -- faults ----------------------------------------------------------------------------------------------------------

extern char at_ud2[], at_div[], at_int3[], at_step[], at_hlt[], at_sse[], at_aligned[];

static void fault(const char *what, char *at, int signo) {
    greg_t *r = context.uc_mcontext.gregs;
    printf("%s: signal %d code %d err %#llx trapno %lld", what, seen.si_signo, seen.si_code, r[REG_ERR], r[REG_TRAPNO]);
    if (signo == SIGSEGV || signo == SIGBUS)
        printf(" addr %s cr2 %s", seen.si_addr == page ? "the page" : seen.si_addr ? "other" : "0",
               (char *)r[REG_CR2] == page ? "the page" : "other");
    else printf(" addr %s", seen.si_addr == (void *)r[REG_RIP] ? "rip" : seen.si_addr ? "other" : "0");
    printf(" rip %+lld flags %#llx mask %d\n", (long long)(r[REG_RIP] - (greg_t)at), r[REG_EFL] & 0x40100, sigismember(&context.uc_sigmask, signo));
}
#define FAULT(what, signo, at, ...) \
    do { if (!sigsetjmp(back, 1)) { __VA_ARGS__; printf("%s: nothing\n", what); } else fault(what, at, signo); } while (0)

static void faults(void) {
    for (int i = 0, s[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGTRAP}; i < 5; i++) catch(s[i], 0);
    faulting = 1;
    page = mmap(NULL, 8192, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    FAULT("store to PROT_NONE", SIGSEGV, (char *)context.uc_mcontext.gregs[REG_RIP], *(volatile char *)page = 1);
    FAULT("load from PROT_NONE", SIGSEGV, (char *)context.uc_mcontext.gregs[REG_RIP], (void)*(volatile char *)page);
    mprotect(page, 4096, PROT_READ);
    FAULT("store to PROT_READ", SIGSEGV, (char *)context.uc_mcontext.gregs[REG_RIP], *(volatile char *)page = 1);
    mprotect(page, 4096, PROT_READ | PROT_WRITE);
    page[0] = (char)0xc3;
    FAULT("call of PROT_WRITE", SIGSEGV, page, ((void (*)(void))page)());
    munmap(page, 4096);
    FAULT("store to nothing", SIGSEGV, (char *)context.uc_mcontext.gregs[REG_RIP], *(volatile char *)page = 1);
    FAULT("call of nothing", SIGSEGV, page, ((void (*)(void))page)());
    FAULT("non-canonical", SIGSEGV, (char *)context.uc_mcontext.gregs[REG_RIP], *(volatile char *)0x8000000000000000 = 1);
    FAULT("hlt", SIGSEGV, at_hlt, asm volatile(".globl at_hlt\nat_hlt: hlt"));
    FAULT("ud2", SIGILL, at_ud2, asm volatile(".globl at_ud2\nat_ud2: ud2"));
    FAULT("divide", SIGFPE, at_div, asm volatile("xor %%edx, %%edx; mov $1, %%eax; xor %%ecx, %%ecx\n.globl at_div\nat_div: div %%ecx" ::: "eax", "ecx", "edx"));
    FAULT("overflow", SIGFPE, (char *)context.uc_mcontext.gregs[REG_RIP], asm volatile("mov $0x80000000, %%eax; cltd; mov $-1, %%ecx; idiv %%ecx" ::: "eax", "ecx", "edx"));
    FAULT("int3", SIGTRAP, at_int3, asm volatile("int3\n.globl at_int3\nat_int3: nop"));
    FAULT("int $3", SIGTRAP, (char *)context.uc_mcontext.gregs[REG_RIP], asm volatile(".byte 0xcd, 3"));
    FAULT("int $4", SIGSEGV, (char *)context.uc_mcontext.gregs[REG_RIP], asm volatile("int $4"));
    FAULT("single step", SIGTRAP, at_step, asm volatile("sub $128, %%rsp; pushfq; orq $0x100, (%%rsp); popfq; nop\n.globl at_step\nat_step: nop; add $128, %%rsp" ::: "memory"));
    unsigned control = 0x1f80 & ~(1u << 9); // division by zero is not masked
    FAULT("SSE division", SIGFPE, at_sse, asm volatile("ldmxcsr %0; pxor %%xmm1, %%xmm1; mov $1, %%eax; cvtsi2ss %%eax, %%xmm0\n.globl at_sse\nat_sse: divss %%xmm1, %%xmm0" :: "m"(control) : "eax", "xmm0", "xmm1"));
    unsigned usual = 0x1f80;
    asm volatile("ldmxcsr %0" :: "m"(usual));
    unsigned short x87 = 0x37b; // likewise
    FAULT("x87 division", SIGFPE, (char *)context.uc_mcontext.gregs[REG_RIP], asm volatile("fninit; fldcw %0; fld1; fldz; fdivrp; fwait" :: "m"(x87)));
    asm volatile("fninit");
    FAULT("misaligned SSE", SIGSEGV, at_aligned, asm volatile(".globl at_aligned\nat_aligned: movaps 1(%%rsp), %%xmm0" ::: "xmm0"));
    FAULT("alignment check", SIGBUS, (char *)context.uc_mcontext.gregs[REG_RIP], asm volatile("sub $128, %%rsp; pushfq; orq $0x40000, (%%rsp); popfq; mov 1(%%rsp), %%eax; pushfq; andq $~0x40000, (%%rsp); popfq; add $128, %%rsp" ::: "eax", "memory"));
    int fd = open("short", O_RDWR | O_CREAT, 0600);
    page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    FAULT("beyond a file's end", SIGBUS, (char *)context.uc_mcontext.gregs[REG_RIP], *(volatile char *)page = 1);
    // blocked: ends the process
    for (int i = 0; i < 2; i++) {
        fflush(stdout);
        pid_t pid = fork();
        if (!pid) {
            sigset_t set;
            sigfillset(&set);
            if (i) sigprocmask(SIG_SETMASK, &set, NULL), faulting = 0;
            else signal(SIGSEGV, SIG_IGN);
            *(volatile char *)8 = 1;
            _exit(0);
        }
        int status = status_of(pid);
        show_status(i ? "blocked fault" : "ignored fault", status & ~0x80);
    }
    faulting = 0;
}

// -- flags, masks and stacks -----------------------------------------------------------------------------------------

static volatile int depth, deepest, left;
static void nesting(int signo) {
    if (++depth > deepest) deepest = depth;
    if (left-- > 0) raise(signo);
    depth--;
}
static char *alternate;
static int on_alternate;
static stack_t during;
static void where(int signo) {
    char here;
    (void)signo;
    on_alternate = &here >= alternate && &here < alternate + 65536;
    sigaltstack(NULL, &during);
    stack_t other = {alternate, 0, 65536};
    if (on_alternate) FAILS(sigaltstack(&other, NULL));
}
static void flags(void) {
    struct sigaction action = {.sa_handler = nesting}, old;
    for (int i = 0; i < 2; i++) {
        action.sa_flags = i ? SA_NODEFER : 0, deepest = 0, left = 2;
        sigaction(SIGUSR2, &action, NULL), raise(SIGUSR2);
        printf("deepest %d\n", deepest);
    }
    action.sa_flags = SA_RESETHAND | SA_NODEFER, left = 0;
    sigaction(SIGUSR2, &action, NULL), raise(SIGUSR2);
    sigaction(SIGUSR2, NULL, &old);
    printf("SA_RESETHAND: default %d flags %#x\n", old.sa_handler == SIG_DFL, old.sa_flags & ~0x04000000);
    action.sa_flags = 0x7fffffff & ~0x04000000, sigfillset(&action.sa_mask);
    sigaction(SIGUSR2, &action, NULL), sigaction(SIGUSR2, NULL, &old);
    printf("flags kept %#x kill masked %d\n", old.sa_flags & ~0x04000000, sigismember(&old.sa_mask, SIGKILL));
    alternate = malloc(65536);
    stack_t stack = {alternate, 0, 65536}, before;
    FAILS(sigaltstack(&stack, &before)), SHOW(before.ss_flags);
    action = (struct sigaction){.sa_handler = where, .sa_flags = SA_ONSTACK};
    sigaction(SIGUSR1, &action, NULL), raise(SIGUSR1);
    printf("SA_ONSTACK: %d during %d\n", on_alternate, during.ss_flags);
    sigaltstack(NULL, &before), printf("after %d size %zu\n", before.ss_flags, before.ss_size);
    stack.ss_flags = (int)(1u << 31); // SS_AUTODISARM
    FAILS(sigaltstack(&stack, NULL)), raise(SIGUSR1);
    printf("SS_AUTODISARM: %d during %d\n", on_alternate, during.ss_flags);
    sigaltstack(NULL, &before), printf("after %#x\n", before.ss_flags);
    stack.ss_size = 100, FAILS(sigaltstack(&stack, NULL));
    stack = (stack_t){NULL, 7, 65536}, FAILS(sigaltstack(&stack, NULL));
    stack = (stack_t){NULL, SS_DISABLE, 0}, FAILS(sigaltstack(&stack, NULL));
    // order: synchronous first, then by number; real-time in order of sending; thread before process
    sigset_t set, none;
    sigfillset(&set), sigemptyset(&none), sigprocmask(SIG_SETMASK, &set, NULL);
    union sigval value;
    for (int i = 0; i < 6; i++) value.sival_int = i, sigqueue(getpid(), SIGRTMIN + i % 2, value);
    kill(getpid(), SIGTERM), kill(getpid(), SIGUSR1), kill(getpid(), SIGSEGV), raise(SIGUSR2), kill(getpid(), SIGUSR1);
    siginfo_t info;
    struct timespec now = {0, 0};
    while (sigtimedwait(&set, &info, &now) > 0) printf("%d:%d ", info.si_signo, info.si_code == SI_QUEUE ? info.si_int : -1);
    printf("\n");
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static void masks(void) {
    sigset_t block, none;
    sigemptyset(&block), sigaddset(&block, SIGUSR1), sigemptyset(&none);
    catch(SIGUSR1, 0);
    sigprocmask(SIG_BLOCK, &block, NULL);
    struct pollfd p = {-1, 0, 0};
    struct timespec second = {1, 0};
    struct epoll_event event;
    int epoll = epoll_create1(0);
#define MASKED(call) count = 0, raise(SIGUSR1), FAILS(call), printf("handled %d\n", count)
    MASKED(ppoll(&p, 1, &second, &none)), MASKED(pselect(0, NULL, NULL, NULL, &second, &none));
    MASKED(epoll_pwait(epoll, &event, 1, 1000, &none)), MASKED(sigsuspend(&none));
    MASKED(ppoll(&p, 1, &(struct timespec){0, 1000}, NULL)), count = 0, sigsuspend(&none), printf("then %d\n", count);
    int fd[2];
    (void)!pipe(fd), (void)!write(fd[1], "x", 1);
    struct pollfd ready = {fd[0], POLLIN, 0};
    MASKED(ppoll(&ready, 1, NULL, &none)); // ready: no EINTR, but does the handler run?
    sigset_t pending;
    sigpending(&pending), SHOW(sigismember(&pending, SIGUSR1));
    sigprocmask(SIG_SETMASK, &none, NULL);
}

static int signal_fd;
static void *reads(void *argument) {
    struct signalfd_siginfo info;
    sigset_t set;
    sigfillset(&set), pthread_sigmask(SIG_BLOCK, &set, NULL);
    pthread_kill(pthread_self(), SIGUSR2);
    ssize_t size = read(signal_fd, &info, sizeof info);
    printf("a thread reads its own: %zd signal %d code %d\n", size, info.ssi_signo, info.ssi_code);
    return argument;
}
static void signal_files(void) {
    sigset_t set;
    sigfillset(&set), sigprocmask(SIG_BLOCK, &set, NULL);
    sigemptyset(&set), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGKILL);
    signal_fd = signalfd(-1, &set, SFD_NONBLOCK);
    struct signalfd_siginfo info[4];
    pthread_t thread;
    FAILS(read(signal_fd, info, sizeof info)), FAILS(read(signal_fd, info, 127));
    pthread_create(&thread, NULL, reads, NULL), pthread_join(thread, NULL);
    union sigval value = {.sival_int = 9};
    sigqueue(getpid(), SIGRTMIN, value), sigqueue(getpid(), SIGRTMIN, value), raise(SIGUSR2);
    struct pollfd p = {signal_fd, POLLIN, 0};
    SHOW(poll(&p, 1, 0));
    long size = read(signal_fd, info, sizeof info);
    for (unsigned i = 0; i < size / sizeof *info; i++)
        printf("signalfd: %d code %d pid %d value %d\n", info[i].ssi_signo, info[i].ssi_code, info[i].ssi_pid == (unsigned)getpid(), info[i].ssi_int);
    // a child reads its own, not its parent's
    raise(SIGUSR2), fflush(stdout);
    if (!fork()) {
        FAILS(read(signal_fd, info, sizeof *info));
        kill(getpid(), SIGUSR2);
        SHOW(poll(&p, 1, 0)), FAILS(read(signal_fd, info, sizeof *info));
        fflush(stdout), _exit(0);
    }
    wait(NULL), SHOW(poll(&p, 1, 0));
    sigemptyset(&set), sigaddset(&set, SIGUSR1);
    SHOW(signalfd(signal_fd, &set, 0) == signal_fd), SHOW(poll(&p, 1, 0));
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    sources(), children(), faults(), flags(), masks(), signal_files();
    return 0;
}
