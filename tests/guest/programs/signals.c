// Signals: delivery order, masks, frames, alternate stacks, restarts, faults, queues.
#include "check.h"

static volatile sig_atomic_t seen, runs, depth, most;
static sigjmp_buf back;
static char stack[65536] __attribute__((aligned(16)));

static void count(int signo) { seen = seen * 100 + signo; }
static void nest(int signo) {
    if (++depth > most) most = depth;
    if (++runs < 3) raise(signo);
    depth--;
}
static void info(int signo, siginfo_t *i, void *context) {
    (void)context;
    printf("info: signo %d code %d value %d from me %d\n", signo, i->si_code, i->si_value.sival_int, i->si_pid == getpid());
}
static void fault(int signo, siginfo_t *i, void *context) {
    (void)context;
    printf("fault: signo %d code %d address %p\n", signo, i->si_code, signo == SIGSEGV ? i->si_addr : NULL);
    siglongjmp(back, 1);
}
static void on_stack(int signo) {
    char here;
    printf("alternate stack: %d\n", &here >= stack && &here < stack + sizeof stack);
    stack_t now;
    sigaltstack(NULL, &now);
    printf("SS_ONSTACK %d signo %d\n", now.ss_flags, signo);
}
static void edit(int signo, siginfo_t *i, void *context) {
    (void)signo, (void)i;
    ((ucontext_t *)context)->uc_mcontext.gregs[REG_RAX] = 4242;
}
static void handle(int signo, void (*handler)(int), int flags) {
    struct sigaction a = {.sa_handler = handler, .sa_flags = flags};
    sigaction(signo, &a, NULL);
}
static void handle_info(int signo, void (*handler)(int, siginfo_t *, void *), int flags) {
    struct sigaction a = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO | flags};
    sigaction(signo, &a, NULL);
}
static void alarm_in(long us) {
    struct itimerval t = {{0, 0}, {0, us}};
    setitimer(ITIMER_REAL, &t, NULL);
}

int main(void) {
    sigset_t set, old, pending;
    setvbuf(stdout, NULL, _IONBF, 0);

    handle(SIGUSR1, count, 0), handle(SIGUSR2, count, 0), handle(SIGHUP, count, 0);
    raise(SIGUSR1);
    SHOW(seen);
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1), sigaddset(&set, SIGUSR2), sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, &old);
    seen = 0;
    kill(getpid(), SIGUSR2), kill(getpid(), SIGUSR1), kill(getpid(), SIGUSR1), kill(getpid(), SIGHUP);
    sigpending(&pending);
    SHOW(sigismember(&pending, SIGUSR1) + sigismember(&pending, SIGUSR2) + sigismember(&pending, SIGHUP));
    SHOW(seen);
    sigprocmask(SIG_SETMASK, &old, NULL);
    SHOW(seen); // the handlers' order

    handle(SIGUSR1, nest, SA_NODEFER);
    raise(SIGUSR1);
    SHOW(most);
    runs = depth = most = 0;
    handle(SIGUSR1, nest, 0);
    raise(SIGUSR1);
    SHOW(most), SHOW(runs);
    handle(SIGUSR1, count, SA_RESETHAND);
    raise(SIGUSR1);
    struct sigaction now;
    sigaction(SIGUSR1, NULL, &now);
    SHOW(now.sa_handler == SIG_DFL);

    handle_info(SIGRTMIN, info, 0);
    sigemptyset(&set), sigaddset(&set, SIGRTMIN), sigaddset(&set, SIGRTMIN + 1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (int i = 0; i < 3; i++) sigqueue(getpid(), SIGRTMIN, (union sigval){.sival_int = i});
    sigqueue(getpid(), SIGRTMIN + 1, (union sigval){.sival_int = 9});
    siginfo_t got;
    SHOW(sigwaitinfo(&set, &got) - SIGRTMIN), SHOW(got.si_value.sival_int);
    struct timespec none = {0, 0}, little = {0, 20000000};
    sigset_t other;
    sigemptyset(&other), sigaddset(&other, SIGRTMIN + 1);
    SHOW(sigtimedwait(&other, &got, &none) - SIGRTMIN);
    FAILS(sigtimedwait(&other, &got, &little));
    sigprocmask(SIG_UNBLOCK, &set, NULL);

    handle_info(SIGSEGV, fault, 0), handle_info(SIGFPE, fault, 0), handle_info(SIGILL, fault, SA_NODEFER);
    if (!sigsetjmp(back, 1)) *(volatile int *)0x10 = 1;
    void *page = mmap((void *)0x10000000, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (!sigsetjmp(back, 1)) *(volatile char *)page = 1;
    if (!sigsetjmp(back, 1)) asm volatile("xor %%ecx, %%ecx; div %%ecx" ::: "eax", "ecx", "edx");
    if (!sigsetjmp(back, 1)) asm volatile("ud2");

    stack_t alternate = {.ss_sp = stack, .ss_size = sizeof stack};
    SHOW(sigaltstack(&alternate, NULL));
    handle(SIGUSR2, on_stack, SA_ONSTACK);
    raise(SIGUSR2);
    stack_t small = {.ss_sp = stack, .ss_size = 100};
    FAILS(sigaltstack(&small, NULL));

    handle_info(SIGUSR1, edit, 0);
    SHOW(syscall(SYS_kill, getpid(), SIGUSR1)); // the handler gives the call another result

    int fd[2];
    char byte;
    if (pipe(fd)) return 1;
    handle(SIGALRM, count, 0);
    alarm_in(20000);
    FAILS(read(fd[0], &byte, 1));
    handle(SIGALRM, count, SA_RESTART);
    pid_t pid = fork();
    if (pid == 0) {
        nap(60);
        _exit(write(fd[1], "x", 1) != 1);
    }
    alarm_in(20000);
    FAILS(read(fd[0], &byte, 1)); // restarted
    status_of(pid);
    alarm_in(20000);
    FAILS(pause());
    handle(SIGALRM, count, SA_RESTART);
    alarm_in(20000);
    struct timespec rest, half = {0, 500000000};
    FAILS(nanosleep(&half, &rest));
    SHOW(rest.tv_nsec > 300000000);
    seen = 0;
    sigfillset(&set), sigprocmask(SIG_SETMASK, &set, &old);
    alarm_in(10000);
    FAILS(sigsuspend(&old));
    SHOW(seen);
    sigprocmask(SIG_SETMASK, &old, NULL);

    struct itimerval repeat = {{0, 5000}, {0, 5000}};
    seen = 0;
    handle(SIGALRM, nest, 0), runs = 3;
    setitimer(ITIMER_REAL, &repeat, NULL);
    for (int i = 0; i < 3; i++) pause();
    repeat = (struct itimerval){{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &repeat, NULL);

    for (int i = 0; i < 4; i++) {
        int signo = (int[]){SIGKILL, SIGTERM, SIGABRT, SIGPIPE}[i];
        if ((pid = fork()) == 0) {
            signal(signo, SIG_DFL);
            kill(getpid(), signo);
            _exit(1);
        }
        int status = status_of(pid);
        printf("died of %d\n", WTERMSIG(status));
    }
    if ((pid = fork()) == 0) for (;;) pause();
    int status;
    kill(pid, SIGSTOP), waitpid(pid, &status, WUNTRACED), show_status("child", status);
    kill(pid, SIGCONT), waitpid(pid, &status, WCONTINUED), show_status("child", status);
    kill(pid, SIGTERM), waitpid(pid, &status, 0), show_status("child", status);
    FAILS(kill(pid, 0)), FAILS(kill(getpid(), 65)), FAILS(kill(getpid(), 0));
    FAILS(signal(SIGKILL, SIG_IGN) == SIG_ERR ? -1 : 0);
    signal(SIGCHLD, SIG_IGN);
    if ((pid = fork()) == 0) _exit(3);
    FAILS(waitpid(pid, &status, 0)); // reaped by nobody: ECHILD
    return 0;
}
