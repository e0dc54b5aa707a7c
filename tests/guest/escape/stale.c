// Memory that is taken from a thread while it stores to it: no store may arrive after the call that took it returned.
#include "escape.h"
#include <pthread.h>
#include <sys/shm.h>
#include <time.h>

#define SIZE 16384

static volatile long *volatile target; // where the writer stores
static volatile int begun;

static void *store(void *unused) {
    for (;;) {
        for (int i = 0; i < SIZE / 8; i += 512)
            target[i]++;
        begun = 1;
    }
    return unused;
}

static void caught(int signo) {
    (void)signo; // the writer is where it should be
    for (;;)
        sched_yield();
}

static long now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void stays(const char *what, volatile long *seen, long expected) {
    for (long end = now_ms() + 60; now_ms() < end;) {
        for (int spin = 0; spin < 1000; spin++)
            if (*seen != expected)
                escaped("a store after %s: %ld, %ld", what, *seen, expected);
        sched_yield();
    }
}

static void begin_storing(void *at) {
    pthread_t thread;
    target = at;
    pthread_create(&thread, 0, store, 0);
    while (!begun)
        sched_yield();
}

int main(int argc, char **argv) {
    begin(argc, argv);
    struct sigaction action = {.sa_handler = caught};
    sigaction(SIGSEGV, &action, 0), sigaction(SIGBUS, &action, 0);
    static const char *names[] = {"mprotect to read-only", "mprotect to nothing", "munmap", "a mapping over it", "mremap",
                                  "ftruncate", "a discarded private copy", "fork", "shmdt", "munmap, pages used again"};
    for (int kind = 0; kind < 10; kind++)
        for (int round = 0; round < 3; round++) {
            int status = IN_CHILD({
                int fd = memfd_create("memory", 0), segment = -1;
                (void)!ftruncate(fd, SIZE);
                char *a = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                volatile long *b = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
                if (kind == 6 || kind == 7 || kind == 9)
                    a = mmap(0, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | (kind == 6 ? 0 : MAP_ANONYMOUS), kind == 6 ? fd : -1, 0);
                if (kind == 8) {
                    segment = shmget(IPC_PRIVATE, SIZE, 0600);
                    a = shmat(segment, 0, 0), b = shmat(segment, 0, 0);
                    shmctl(segment, IPC_RMID, 0);
                }
                begin_storing(a);
                char *fresh;
                switch (kind) {
                case 0: mprotect(a, SIZE, PROT_READ); stays(names[kind], b, *b); stays(names[kind], (long *)a, *b); break;
                case 1: mprotect(a, SIZE, PROT_NONE); stays(names[kind], b, *b); break;
                case 2: munmap(a, SIZE); stays(names[kind], b, *b); break;
                case 3:
                    mmap(a, SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                    stays(names[kind], b, *b);
                    break;
                case 4: mremap(a, SIZE, SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, a + (1 << 24)); stays(names[kind], b, *b); break;
                case 5:
                    (void)!ftruncate(fd, 0), (void)!ftruncate(fd, SIZE);
                    for (int page = 0; page < SIZE / 8; page += 512)
                        if (b[page] < 0 || b[page] > 100000000)
                            escaped("what was cut off");
                    break;
                case 6:
                    mprotect(a, SIZE, PROT_READ), madvise(a, SIZE, MADV_DONTNEED);
                    stays(names[kind], (long *)a, 0), stays(names[kind], b, 0);
                    break;
                case 7:
                    if (fork() == 0) {
                        stays(names[kind], (long *)a, *(volatile long *)a);
                        _exit(9);
                    }
                    wait(&segment);
                    _exit(segment == 9 << 8 ? 9 : 8);
                case 9:
                    munmap(a, SIZE);
                    for (long end = now_ms() + 60; now_ms() < end;) {
                        fresh = mmap(0, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
                        for (int i = 0; i < 1 << 20; i += 4096) {
                            if (fresh[i] || fresh[i + 8])
                                escaped("a new page is not empty");
                            fresh[i + 2000] = 0; // a frame of its own
                            if (fresh[i])
                                escaped("a new frame is not empty");
                        }
                        munmap(fresh, 1 << 20);
                        if (fresh == a)
                            break;
                    }
                    break;
                case 8: shmdt(a); stays(names[kind], b, *b); break;
                }
                _exit(9);
            });
            if (status != 9 << 8)
                escaped("%s: %#x", names[kind], status);
        }
    contained();
}
