// CPU time and its limits: who used it, timers and sleeps on its clocks, RLIMIT_CPU, RLIMIT_SIGPENDING, getrusage(2).
#include "check.h"
#include <sys/times.h>

static volatile sig_atomic_t caught[65];
static void on_signal(int signo) { caught[signo]++; }
static void catch(int signo) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    sigaction(signo, &action, NULL);
}

static long cpu_ms(clockid_t clock) {
    struct timespec t;
    if (clock_gettime(clock, &t)) return -1;
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}
static void compute(long ms) { // in user mode
    long end = cpu_ms(CLOCK_THREAD_CPUTIME_ID) + ms;
    while (cpu_ms(CLOCK_THREAD_CPUTIME_ID) < end)
        for (volatile int i = 0; i < 20000; i++) {}
}
static const char *about(long ms, long wanted) { return ms >= wanted - 15 && ms <= wanted + 400 ? "as asked" : "wrong"; }

static void timers(void) {
    for (int which = ITIMER_VIRTUAL; which <= ITIMER_PROF; which++) {
        int signo = which == ITIMER_PROF ? SIGPROF : SIGVTALRM;
        struct itimerval timer = {{0, 0}, {0, 60000}}, left;
        catch(signo);
        SHOW(setitimer(which, &timer, NULL));
        nap(150);
        printf("asleep: %d\n", caught[signo]);
        long before = cpu_ms(CLOCK_PROCESS_CPUTIME_ID);
        while (!caught[signo]) compute(1);
        printf("%s: %s\n", strsignal(signo), about(cpu_ms(CLOCK_PROCESS_CPUTIME_ID) - before, 60));
        getitimer(which, &left);
        SHOW(left.it_value.tv_sec + left.it_value.tv_usec);
    }
    clockid_t clocks[] = {CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
    for (int i = 0; i < 2; i++) {
        timer_t timer;
        struct sigevent event = {.sigev_notify = SIGEV_SIGNAL, .sigev_signo = SIGRTMIN + i};
        struct itimerspec spec = {{0, 0}, {0, 60000000}};
        catch(SIGRTMIN + i);
        SHOW(timer_create(clocks[i], &event, &timer));
        SHOW(timer_settime(timer, 0, &spec, NULL));
        nap(100);
        printf("asleep: %d\n", caught[SIGRTMIN + i]);
        long before = cpu_ms(clocks[i]);
        while (!caught[SIGRTMIN + i]) compute(1);
        printf("timer: %s\n", about(cpu_ms(clocks[i]) - before, 60));
        timer_delete(timer);
    }
}

static void *busy(void *argument) { compute(600); return argument; } // longer than anyone waits for it

static void sleeps(void) {
    pthread_t thread;
    clockid_t clock;
    pthread_create(&thread, NULL, busy, NULL);
    SHOW(pthread_getcpuclockid(thread, &clock));
    struct timespec t = {0, 60000000};
    SHOW(clock_nanosleep(clock, 0, &t, NULL));
    printf("the thread's clock: %s\n", cpu_ms(clock) >= 55 ? "has got there" : "is early");
    SHOW(clock_nanosleep(CLOCK_THREAD_CPUTIME_ID, 0, &t, NULL));
    SHOW(clock_nanosleep((clockid_t)-2, 0, &t, NULL));
    pthread_join(thread, NULL);
    SHOW(clock_getcpuclockid(getppid() == 1 ? 1 : getppid(), &clock));
    SHOW(clock_getcpuclockid(999999, &clock));
    SHOW(clock_getcpuclockid(0, &clock));
    SHOW(cpu_ms(clock) >= 150);
}

static void children(void) {
    struct rusage usage;
    struct tms tms;
    pid_t pid = fork();
    if (!pid) {
        static char page[1 << 24];
        memset(page, 1, sizeof page);
        compute(200);
        _exit(0);
    }
    SHOW(getrusage(RUSAGE_CHILDREN, &usage));
    SHOW(usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000);
    SHOW(wait4(pid, NULL, 0, &usage) == pid);
    long ms = usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000;
    SHOW(ms >= 50 && ms < 800);
    SHOW(usage.ru_maxrss >= 16384);
    SHOW(usage.ru_minflt > 0);
    getrusage(RUSAGE_CHILDREN, &usage);
    SHOW(usage.ru_utime.tv_sec * 1000 + usage.ru_utime.tv_usec / 1000 == ms);
    times(&tms);
    SHOW(tms.tms_cutime >= 5 && tms.tms_cutime <= 80);
    getrusage(RUSAGE_SELF, &usage);
    SHOW(usage.ru_maxrss > 500), SHOW(usage.ru_minflt > 0), SHOW(usage.ru_nvcsw > 0);
    SHOW(tms.tms_utime > 0);
    // what is done in the host kernel counts as system time
    struct rusage before;
    getrusage(RUSAGE_SELF, &before);
    for (long end = cpu_ms(CLOCK_PROCESS_CPUTIME_ID) + 300; cpu_ms(CLOCK_PROCESS_CPUTIME_ID) < end;) {
        char *p = mmap(NULL, 1 << 22, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
        munmap(p, 1 << 22);
    }
    getrusage(RUSAGE_SELF, &usage);
    SHOW(usage.ru_stime.tv_sec * 1000 + usage.ru_stime.tv_usec / 1000 - before.ru_stime.tv_sec * 1000 -
             before.ru_stime.tv_usec / 1000 > 50);
}

static void limits(void) {
    int status;
    for (int handled = 0; handled < 2; handled++) {
        pid_t pid = fork();
        if (!pid) {
            struct rlimit limit = {1, 2};
            if (handled) catch(SIGXCPU);
            setrlimit(RLIMIT_CPU, &limit);
            for (;;) {
                compute(10);
                if (caught[SIGXCPU] == 1) caught[SIGXCPU] = 9, getrlimit(RLIMIT_CPU, &limit), printf("%ld\n", (long)limit.rlim_cur), fflush(stdout);
            }
        }
        waitpid(pid, &status, 0), show_status("limited", status & ~0x80);
    }
    if (!fork()) {
        struct rlimit limit = {3, 3};
        sigset_t set;
        sigfillset(&set), sigprocmask(SIG_SETMASK, &set, NULL);
        if (setgid(12345) || setuid(12345)) printf("not root\n");
        SHOW(setrlimit(RLIMIT_SIGPENDING, &limit));
        union sigval value = {.sival_int = 7};
        for (int i = 0; i < 5; i++) FAILS(sigqueue(getpid(), SIGRTMIN, value));
        FAILS(kill(getpid(), SIGUSR1)), FAILS(kill(getpid(), SIGRTMIN)), FAILS(kill(getpid(), SIGRTMIN + 1));
        FAILS(syscall(SYS_tgkill, getpid(), getpid(), SIGRTMIN + 2));
        FAILS(syscall(SYS_tgkill, getpid(), getpid(), SIGUSR2));
        siginfo_t info;
        struct timespec now = {0, 0};
        int signo;
        while ((signo = sigtimedwait(&set, &info, &now)) > 0) printf("%d code %d value %d\n", signo, info.si_code, info.si_code == SI_QUEUE ? info.si_int : 0);
        fflush(stdout), _exit(0);
    }
    wait(NULL);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    timers(), sleeps(), children(), limits();
    return 0;
}
