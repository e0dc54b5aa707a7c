// Signal masks: changed without a signal in sight, with one waiting, while others send, and across fork, spawn and exec.
#include "check.h"
#include <spawn.h>

#define ROUNDS 200
#define TOGGLES 20000

extern char **environ;
static atomic_int seen;
static _Atomic pthread_t taker;

static void count(int signo) {
    (void)signo;
    seen++;
    taker = pthread_self();
}

static void handle(int signo) {
    struct sigaction action = {.sa_handler = count, .sa_flags = SA_RESTART};
    sigaction(signo, &action, NULL);
}

static void check(const char *what, int holds) { printf("%s: %s\n", what, holds ? "yes" : "no"); }

static sigset_t only(int signo) {
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, signo);
    return set;
}

static int blocked(int signo) {
    sigset_t now;
    sigprocmask(SIG_BLOCK, NULL, &now);
    return sigismember(&now, signo);
}

static void send_from_child(int signo) {
    pid_t pid = fork();
    if (pid == 0) {
        kill(getppid(), signo);
        _exit(0);
    }
    waitpid(pid, NULL, 0);
}

static void arguments(void) {
    unsigned long set = ~0ul, old = 7;
    check("a bad how", syscall(SYS_rt_sigprocmask, 9, &set, NULL, 8) == -1 && errno == EINVAL);
    check("a bad how without a set", syscall(SYS_rt_sigprocmask, 9, NULL, &old, 8) == 0 && old == 0);
    check("a bad size", syscall(SYS_rt_sigprocmask, SIG_BLOCK, &set, NULL, 4) == -1 && errno == EINVAL);
    check("a bad set", syscall(SYS_rt_sigprocmask, SIG_BLOCK, 8, NULL, 8) == -1 && errno == EFAULT);
    check("a bad old set", syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, 8, 8) == -1 && errno == EFAULT);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, NULL, &old, 8);
    check("the mask was set all the same", old == ~(1ul << (SIGKILL - 1) | 1ul << (SIGSTOP - 1)));
    set = 0;
    check("both at once", syscall(SYS_rt_sigprocmask, SIG_SETMASK, &set, &set, 8) == 0 && set == old);
    check("is empty again", !blocked(SIGUSR1) && !blocked(SIGTERM));
}

static void waiting(void) {
    sigset_t set = only(SIGUSR1), pending;
    int wrong = 0;
    handle(SIGUSR1);
    for (int i = 0; i < ROUNDS; i++) {
        seen = 0;
        sigprocmask(SIG_BLOCK, &set, NULL);
        if (i % 2)
            raise(SIGUSR1);
        else
            send_from_child(SIGUSR1);
        sigpending(&pending);
        wrong += seen != 0 || !sigismember(&pending, SIGUSR1);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        wrong += seen != 1;
    }
    check("what waits is delivered before the unblocking returns", wrong == 0);
    sigprocmask(SIG_BLOCK, &set, NULL);
    raise(SIGUSR1);
    signal(SIGUSR1, SIG_IGN);
    seen = 0;
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    check("what is ignored meanwhile is dropped", seen == 0);
    handle(SIGUSR1);
}

static void toggling(void) {
    sigset_t set = only(SIGUSR2), pending;
    pid_t parent = getpid();
    handle(SIGUSR2);
    seen = 0;
    pid_t pid = fork();
    if (pid == 0) {
        for (int i = 0; i < 500; i++)
            kill(parent, SIGUSR2);
        _exit(0);
    }
    int inside = 0;
    for (int i = 0; i < TOGGLES; i++) {
        sigprocmask(SIG_BLOCK, &set, NULL);
        int before = seen;
        for (volatile int j = 0; j < 20; j++)
            ;
        inside += seen != before;
        sigprocmask(SIG_UNBLOCK, &set, NULL);
    }
    waitpid(pid, NULL, 0);
    sigpending(&pending);
    check("nothing arrives while it is blocked", inside == 0);
    check("nothing is left waiting", seen > 0 && !sigismember(&pending, SIGUSR2));
}

static void *open_thread(void *go_on) {
    sigset_t set = only(SIGUSR1);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
    while (!*(atomic_int *)go_on)
        usleep(1000);
    return NULL;
}

static void threads(void) {
    sigset_t set = only(SIGUSR1);
    pthread_t thread;
    atomic_int go_on = 0;
    sigprocmask(SIG_BLOCK, &set, NULL);
    pthread_create(&thread, NULL, open_thread, &go_on);
    seen = 0;
    send_from_child(SIGUSR1);
    for (int i = 0; i < 5000 && !seen; i++)
        usleep(1000);
    check("a thread that lets it through takes it", seen == 1 && pthread_equal(taker, thread));
    go_on = 1;
    pthread_join(thread, NULL);
    send_from_child(SIGUSR1);
    check("with nobody to take it, it waits", seen == 1);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    check("and comes when it may", seen == 2 && pthread_equal(taker, pthread_self()));
}

static void children(const char *self) {
    sigset_t set = only(SIGTERM);
    int status;
    sigprocmask(SIG_BLOCK, &set, NULL);
    pid_t pid = fork();
    if (pid == 0) {
        int inherited = blocked(SIGTERM);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        _exit(inherited && !blocked(SIGTERM) ? 3 : 4);
    }
    waitpid(pid, &status, 0);
    check("fork copies the mask", WEXITSTATUS(status) == 3 && blocked(SIGTERM));
    char *argv[] = {(char *)self, "exec", NULL};
    posix_spawn(&pid, self, NULL, NULL, argv, environ);
    waitpid(pid, &status, 0);
    check("spawn and exec keep it", WEXITSTATUS(status) == 5);
    pid = fork();
    if (pid == 0) {
        raise(SIGTERM);
        execv(self, (char *[]){(char *)self, "pending", NULL});
    }
    waitpid(pid, &status, 0);
    check("what waits is kept by exec, and ends the program", WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
}

int main(int argc, char **argv) {
    if (argc > 1) {
        if (!blocked(SIGTERM))
            return 6;
        sigset_t set = only(SIGTERM);
        sigprocmask(SIG_UNBLOCK, &set, NULL);
        return 5;
    }
    arguments();
    waiting();
    toggling();
    threads();
    children(argv[0]);
    return 0;
}
