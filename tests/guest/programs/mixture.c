// One round of the stress mix, its part in C: forks with pipes, vforks, threads and signals, all checked.
// Prints how many processes it made. Usage: mixture FORKS VFORKS THREADS SIGNALS
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define CHECK(condition) \
    do { \
        if (!(condition)) { \
            fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, strerror(errno)); \
            exit(1); \
        } \
    } while (0)

static atomic_int handled, counter;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static int guarded;
extern char **environ;

static void on_signal(int signo) { handled += signo == SIGUSR1; }

static int status_of(pid_t pid) {
    int status;
    while (waitpid(pid, &status, 0) < 0) CHECK(errno == EINTR);
    return status;
}

static void forks(int n) {
    for (int i = 0; i < n; i++) {
        int fd[2];
        CHECK(pipe(fd) == 0);
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            pid_t own = getpid();
            _exit(write(fd[1], &own, sizeof own) == sizeof own ? i : 99);
        }
        pid_t told = 0;
        CHECK(read(fd[0], &told, sizeof told) == sizeof told && told == pid);
        int status = status_of(pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == i);
        close(fd[0]);
        close(fd[1]);
    }
}

static void vforks(int n) {
    for (volatile int i = 0; i < n; i++) {
        volatile int shared = 0;
        pid_t pid = vfork();
        CHECK(pid >= 0);
        if (pid == 0) {
            shared = 1; // the same memory: the parent sees it
            char *argv[] = {"sh", "-c", i % 2 ? "exit 3" : "exit 0", NULL};
            execve("/bin/sh", argv, environ);
            _exit(127);
        }
        CHECK(shared == 1);
        int status = status_of(pid);
        CHECK(WIFEXITED(status) && WEXITSTATUS(status) == (i % 2 ? 3 : 0));
    }
}

static void *work(void *argument) {
    for (int i = 0; i < 100; i++) {
        counter++;
        pthread_mutex_lock(&lock);
        guarded++;
        pthread_mutex_unlock(&lock);
    }
    return argument;
}

static void threads(int n) {
    pthread_t thread[64];
    for (int i = 0; i < n; i++) CHECK(pthread_create(&thread[i], NULL, work, (void *)(long)i) == 0);
    for (int i = 0; i < n; i++) {
        void *result;
        CHECK(pthread_join(thread[i], &result) == 0 && (long)result == i);
    }
    CHECK(counter == n * 100 && guarded == n * 100);
}

static void signals(int n) {
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_RESTART};
    CHECK(sigaction(SIGUSR1, &action, NULL) == 0);
    for (int i = 0; i < n; i++) {
        CHECK(kill(getpid(), SIGUSR1) == 0);
        CHECK(handled == i + 1); // a signal to oneself is delivered before kill returns
    }
    // A child that waits is ended by a signal; one that handles it ends by itself.
    int fd[2];
    char byte;
    CHECK(pipe(fd) == 0);
    for (int i = 0; i < 2; i++) {
        pid_t pid = fork();
        CHECK(pid >= 0);
        if (pid == 0) {
            sigset_t all, none;
            sigfillset(&all);
            sigemptyset(&none);
            sigprocmask(SIG_SETMASK, &all, NULL);
            handled = 0;
            if (write(fd[1], "r", 1) != 1) _exit(98);
            while (!handled) sigsuspend(&none);
            _exit(42);
        }
        CHECK(read(fd[0], &byte, 1) == 1);
        CHECK(kill(pid, i ? SIGUSR1 : SIGTERM) == 0);
        int status = status_of(pid);
        CHECK(i ? WIFEXITED(status) && WEXITSTATUS(status) == 42 : WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
    }
}

int main(int argc, char **argv) {
    if (argc != 5) return 2;
    int f = atoi(argv[1]), v = atoi(argv[2]), t = atoi(argv[3]), s = atoi(argv[4]);
    forks(f);
    threads(t);
    vforks(v);
    signals(s);
    printf("%d\n", f + v + 2);
    return 0;
}
