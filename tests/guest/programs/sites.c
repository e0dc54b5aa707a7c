// Call sites that are used again and again: what a call answers, what it leaves alone, and who is told, the hundredth
// time as the first.
#include "check.h"
#include <spawn.h>

#define OFTEN 100

extern char **environ;
static void check(const char *what, int holds) { printf("%s: %s\n", what, holds ? "yes" : "no"); }

// rt_sigprocmask(SIG_BLOCK, NULL, &asked, 8) at one site, with a value of its own in every other register, in the red
// zone and in a vector register; returns how many of them changed. rcx and r11 are the call's to change.
static unsigned long asked __attribute__((used));
static long answered __attribute__((used));
static long keeps_all(void) {
    register long bad asm("rax");
    asm volatile(
        "sub $512, %%rsp\n lea asked(%%rip), %%rdx\n xor %%edi, %%edi\n xor %%esi, %%esi\n mov $8, %%r10d\n"
        "mov $0x1111, %%rbx\n mov $0x2222, %%r8\n mov $0x3333, %%r9\n mov $0x4444, %%r12\n mov $0x5555, %%r13\n"
        "mov $0x6666, %%r14\n mov $0x7777, %%r15\n movq %%rbx, %%xmm7\n"
        "mov %%rbx, -8(%%rsp)\n mov %%r9, -128(%%rsp)\n stc\n"
        "mov $14, %%eax\n syscall\n"
        "mov %%rax, answered(%%rip)\n mov $0, %%eax\n"
        "jc 1f\n inc %%rax\n1: cmp $0x1111, %%rbx\n je 1f\n inc %%rax\n1: cmp $0x2222, %%r8\n je 1f\n inc %%rax\n"
        "1: cmp $0x3333, %%r9\n je 1f\n inc %%rax\n1: cmp $0x4444, %%r12\n je 1f\n inc %%rax\n"
        "1: cmp $0x5555, %%r13\n je 1f\n inc %%rax\n1: cmp $0x6666, %%r14\n je 1f\n inc %%rax\n"
        "1: cmp $0x7777, %%r15\n je 1f\n inc %%rax\n1: cmp $8, %%r10\n je 1f\n inc %%rax\n1: test %%rdi, %%rdi\n je 1f\n"
        "inc %%rax\n1: test %%rsi, %%rsi\n je 1f\n inc %%rax\n1: cmpq $0x3333, -128(%%rsp)\n je 1f\n inc %%rax\n"
        "1: cmpq $0x1111, -8(%%rsp)\n je 1f\n inc %%rax\n1: movq %%xmm7, %%rcx\n cmp $0x1111, %%rcx\n je 1f\n inc %%rax\n"
        "1: add $512, %%rsp\n"
        : "=a"(bad)
        :
        : "rbx", "rcx", "rdx", "rdi", "rsi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "xmm7", "cc", "memory");
    return bad;
}

static void registers(void) {
    long changed = 0, failed = 0;
    for (int i = 0; i < OFTEN; i++) {
        answered = -1, asked = 7;
        changed += keeps_all();
        failed += answered != 0 || asked != 0;
    }
    SHOW(changed), SHOW(failed);
}

static void answers(void) {
    struct sigaction action, ignore = {.sa_handler = SIG_IGN}, normal = {.sa_handler = SIG_DFL, .sa_flags = SA_NODEFER};
    sigset_t set, old;
    int wrong = 0;
    for (int i = 0; i < OFTEN; i++) {
        wrong += sigaction(SIGUSR1, i % 2 ? &ignore : &normal, NULL) != 0;
        wrong += sigaction(SIGUSR1, NULL, &action) != 0;
        wrong += action.sa_handler != (i % 2 ? SIG_IGN : SIG_DFL) || !!(action.sa_flags & SA_NODEFER) != !(i % 2);
        sigemptyset(&set), sigaddset(&set, 1 + i % 31);
        wrong += sigprocmask(SIG_SETMASK, &set, &old) != 0 || sigprocmask(SIG_SETMASK, &old, &set) != 0;
        wrong += sigismember(&set, 1 + i % 31) != (1 + i % 31 != SIGKILL && 1 + i % 31 != SIGSTOP);
    }
    sigaction(SIGUSR1, &(struct sigaction){.sa_handler = SIG_DFL}, NULL);
    SHOW(wrong);
    int faults = 0;
    for (int i = 0; i < OFTEN; i++) {
        faults += syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8) == -1 && errno == EFAULT;
        faults += syscall(SYS_rt_sigaction, SIGUSR2, NULL, 8, 8) == -1 && errno == EFAULT;
        faults += sigprocmask(77, &set, NULL) == -1 && errno == EINVAL;
        faults += sigaction(SIGKILL, &ignore, NULL) == -1 && errno == EINVAL;
        faults += sigaction(65, NULL, &action) == -1 && errno == EINVAL;
    }
    SHOW(faults);
}

static volatile int ticks;
static void tick(int signo) {
    sigset_t set;
    (void)signo;
    if (++ticks >= 100) setitimer(ITIMER_REAL, &(struct itimerval){0}, NULL); // or slow machines do nothing else
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    for (int i = 0; i < 3; i++) sigprocmask(SIG_BLOCK, &set, NULL), sigaction(SIGUSR1, NULL, &(struct sigaction){0});
}

// Signals that come at any instruction of a call: each returns to where it was, and a mask that is set stays set.
static void storm(void) {
    struct sigaction action = {.sa_handler = tick};
    struct itimerval often = {{0, 700}, {0, 700}}, never = {{0, 0}, {0, 0}};
    sigset_t set, old;
    long wrong = 0, rounds = 0;
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &often, NULL);
    for (; ticks < 100 && rounds < 5000000; rounds++) {
        sigemptyset(&set), sigaddset(&set, SIGUSR1);
        wrong += sigprocmask(SIG_SETMASK, &set, NULL) != 0;
        wrong += sigprocmask(SIG_BLOCK, NULL, &old) != 0;
        wrong += !sigismember(&old, SIGUSR1) || sigismember(&old, SIGUSR2) || sigismember(&old, SIGALRM);
        wrong += sigaction(SIGWINCH, &(struct sigaction){.sa_handler = SIG_DFL, .sa_flags = rounds % 2 ? SA_RESTART : 0}, NULL);
        wrong += sigaction(SIGWINCH, NULL, &action) != 0 || !!(action.sa_flags & SA_RESTART) != rounds % 2;
        wrong += getpid() != (pid_t)syscall(SYS_getpid);
    }
    setitimer(ITIMER_REAL, &never, NULL);
    sigemptyset(&set), sigprocmask(SIG_SETMASK, &set, NULL);
    SHOW(wrong);
    check("a hundred signals came", ticks >= 100);
}

// A blocked signal that waits is delivered by the call that lets it through, before that returns.
static void delivered(void) {
    sigset_t set;
    int early = 0, late = 0;
    signal(SIGUSR2, tick);
    sigemptyset(&set), sigaddset(&set, SIGUSR2);
    for (int i = 0; i < OFTEN; i++) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        ticks = 0;
        raise(SIGUSR2);
        early += ticks != 0;
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        late += ticks != 1;
    }
    signal(SIGUSR2, SIG_DFL);
    SHOW(early), SHOW(late);
}

static int same_ids(pid_t pid, pid_t parent) {
    int good = 1;
    for (int i = 0; i < OFTEN; i++) good &= getpid() == pid && getppid() == parent && gettid() == pid;
    return good;
}

static void *thread_ids(void *process) {
    pid_t pid = *(pid_t *)process;
    long good = 1;
    for (int i = 0; i < OFTEN; i++) good &= getpid() == pid && gettid() != pid && gettid() == syscall(SYS_gettid);
    return (void *)good;
}

static void ids(void) {
    pid_t self = getpid(), parent = getppid(), told;
    int there[2], back[2], status;
    char byte;
    check("ids stay", same_ids(self, parent));
    pid_t child = fork();
    if (child == 0) _exit(same_ids(getpid(), self) && getpid() != self ? 3 : 4);
    show_status("a child's", status_of(child));
    child = vfork();
    if (child == 0) _exit(getppid() == self && getpid() != self ? 3 : 4);
    show_status("a vfork's", status_of(child));
    check("ids stay", same_ids(self, parent));
    // an orphan is told who its parent is now
    if (pipe(there) || pipe(back)) return;
    child = fork();
    if (child == 0) {
        if (fork() == 0) {
            pid_t before = getppid();
            if (write(there[1], "x", 1) != 1 || read(back[0], &byte, 1) != 1) _exit(1);
            for (int i = 0; i < OFTEN && getppid() == before; i++) nap(5);
            told = getppid() != before;
            if (write(there[1], &told, sizeof told) != sizeof told) _exit(1);
            _exit(0);
        }
        if (read(there[0], &byte, 1) != 1) _exit(1);
        _exit(0);
    }
    waitpid(child, &status, 0);
    told = -1;
    if (write(back[1], "x", 1) != 1 || read(there[0], &told, sizeof told) != sizeof told) return;
    check("an orphan sees another parent", told == 1);
    close(there[0]), close(there[1]), close(back[0]), close(back[1]);
    // users
    if (fork() == 0) {
        int good = 1;
        if (geteuid() == 0) {
            for (int i = 0; i < OFTEN; i++) good &= getuid() == 0 && getegid() == getgid();
            good &= setresgid(7, 8, 9) == 0 && setresuid(5, 6, 7) == 0;
            for (int i = 0; i < OFTEN; i++) good &= getuid() == 5 && geteuid() == 6 && getgid() == 7 && getegid() == 8;
        }
        check("users change", good);
        fflush(stdout);
        _exit(0);
    }
    wait(&status);
    pthread_t thread;
    void *good = NULL;
    pthread_create(&thread, NULL, thread_ids, &self), pthread_join(thread, &good);
    check("a thread's ids", good != NULL);
}

// Code in memory that two processes share, made after one of them has run it often: the other runs it as well.
static void shared_code(void) {
    static const unsigned char code[] = {0xb8, SYS_getpid, 0, 0, 0, 0x0f, 0x05, 0xc3};
    unsigned char *page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pid_t self = getpid();
    int there[2], wrong = 0;
    char byte;
    if (page == MAP_FAILED || pipe(there)) return;
    memcpy(page, code, sizeof code);
    pid_t (*ask)(void) = (pid_t (*)(void))page, child = fork();
    if (child == 0) {
        close(there[1]);
        if (read(there[0], &byte, 1) != 0) _exit(1); // until the parent has run it
        for (int i = 0; i < OFTEN; i++) wrong += ask() != getpid();
        _exit(wrong ? 4 : 3);
    }
    for (int i = 0; i < OFTEN; i++) wrong += ask() != self;
    check("shared code stays", !memcmp(page, code, sizeof code));
    close(there[0]), close(there[1]);
    show_status("who shares it", status_of(child));
    SHOW(wrong);
}

static int spawned(const char *script) {
    char *argv[] = {"sh", "-c", (char *)script, NULL};
    pid_t pid;
    if (posix_spawn(&pid, "/bin/sh", NULL, NULL, argv, environ)) return -1;
    int status = status_of(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -2;
}

int main(int argc, char **argv) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    if (argc > 1) { // what an exec'd program sees, whose code is as it was
        check("after an exec", same_ids(getpid(), atoi(argv[1])));
        return 7;
    }
    registers();
    answers();
    storm();
    delivered();
    int wrong = 0;
    for (int i = 0; i < 10; i++) wrong += spawned("exit 5") != 5;
    SHOW(wrong);
    shared_code(); // before there are threads
    ids();
    registers(); // with more threads than one by now
    fflush(stdout);
    char self[16], path[4096];
    ssize_t size = readlink("/proc/self/exe", path, sizeof path - 1);
    if (size < 0) return 1;
    path[size] = 0;
    snprintf(self, sizeof self, "%d", getpid());
    pid_t child = fork();
    if (child == 0) execl(path, path, self, NULL), _exit(9);
    show_status("an exec", status_of(child));
    return 0;
}
