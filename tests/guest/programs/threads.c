// Threads: locks, conditions, thread-local data, ids, signals to one thread, cancellation, fork and exec among threads.
#include "check.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static pthread_barrier_t barrier;
static int turn, total;
static __thread int local = 7;
static atomic_int hits, ready;
static pthread_t target;

static void *take_turns(void *argument) {
    int me = (int)(intptr_t)argument;
    for (int i = 0; i < 50; i++) {
        pthread_mutex_lock(&lock);
        while (turn % 4 != me) pthread_cond_wait(&changed, &lock);
        turn++, total += me;
        pthread_cond_broadcast(&changed);
        pthread_mutex_unlock(&lock);
    }
    local += me;
    return (void *)(intptr_t)local;
}
static void on_signal(int signo) { (void)signo; hits += pthread_equal(pthread_self(), target) ? 1 : 100; }
static void *sleeper(void *argument) {
    ready = 1;
    while (!hits) nap(1);
    return argument;
}
static void *endless(void *argument) {
    ready = 2;
    for (;;) pause();
    return argument;
}
static void *ids(void *argument) {
    *(int *)argument = getpid() == gettid() ? 1 : syscall(SYS_gettid) == gettid() ? 2 : 3;
    pthread_barrier_wait(&barrier);
    return NULL;
}
static void *exec_it(void *argument) {
    execl("/bin/sh", "sh", "-c", "echo exec by a thread; exit 6", NULL);
    return argument;
}
static void *end_all(void *argument) { exit(argument ? 8 : 9); }

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    pthread_t thread[8];
    for (intptr_t i = 0; i < 4; i++) pthread_create(&thread[i], NULL, take_turns, (void *)i);
    for (int i = 0; i < 4; i++) {
        void *result;
        pthread_join(thread[i], &result);
        SHOW((intptr_t)result);
    }
    SHOW(turn), SHOW(total), SHOW(local);

    struct sigaction action = {.sa_handler = on_signal};
    sigaction(SIGUSR1, &action, NULL);
    pthread_create(&target, NULL, sleeper, NULL);
    while (ready != 1) sched_yield();
    pthread_kill(target, SIGUSR1);
    pthread_join(target, NULL);
    SHOW(hits);

    pthread_create(&thread[0], NULL, endless, NULL);
    while (ready != 2) sched_yield();
    pthread_cancel(thread[0]);
    void *result;
    pthread_join(thread[0], &result);
    SHOW(result == PTHREAD_CANCELED);

    int kinds[8] = {0};
    pthread_barrier_init(&barrier, NULL, 9);
    for (int i = 0; i < 8; i++) pthread_create(&thread[i], NULL, ids, &kinds[i]);
    pthread_barrier_wait(&barrier);
    for (int i = 0; i < 8; i++) pthread_join(thread[i], NULL), SHOW(kinds[i]);

    pthread_rwlock_t rw = PTHREAD_RWLOCK_INITIALIZER;
    SHOW(pthread_rwlock_rdlock(&rw)), SHOW(pthread_rwlock_trywrlock(&rw) == EBUSY);
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    t.tv_nsec += 20000000, t.tv_sec += t.tv_nsec / 1000000000, t.tv_nsec %= 1000000000;
    pthread_mutex_lock(&lock);
    SHOW(pthread_cond_timedwait(&changed, &lock, &t) == ETIMEDOUT);
    pthread_mutex_unlock(&lock);

    pthread_mutexattr_t robust;
    pthread_mutexattr_init(&robust);
    pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
    pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
    pthread_mutex_t *shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(shared, &robust);
    pid_t pid = fork();
    if (pid == 0) _exit(pthread_mutex_lock(shared));
    show_status("locker", status_of(pid));
    SHOW(pthread_mutex_lock(shared) == EOWNERDEAD);
    SHOW(pthread_mutex_consistent(shared)), SHOW(pthread_mutex_unlock(shared));

    for (int i = 0; i < 2; i++) {
        if ((pid = fork()) == 0) {
            pthread_create(&thread[0], NULL, i ? end_all : exec_it, (void *)(intptr_t)i);
            for (;;) pause();
        }
        show_status("process of threads", status_of(pid));
    }
    pthread_create(&thread[0], NULL, sleeper, NULL); // main ends first: the process goes on
    pthread_detach(thread[0]);
    pthread_exit(NULL);
}
