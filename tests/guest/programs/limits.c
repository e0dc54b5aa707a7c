// RLIMIT_AS and RLIMIT_DATA bound a process's memory, at once, in its children and behind exec; they can be lifted again.
#include "check.h"

#define MB (1ul << 20)

static void set(int resource, rlim_t soft) {
    struct rlimit limit;
    getrlimit(resource, &limit);
    limit.rlim_cur = soft;
    FAILS(setrlimit(resource, &limit));
}

static void *get(size_t size, int prot) {
    void *p = mmap(0, size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    return p == MAP_FAILED ? 0 : p;
}
static int fits(size_t size) {
    void *p = get(size, PROT_READ | PROT_WRITE);
    if (p) munmap(p, size);
    else if (errno != ENOMEM) printf("%s\n", strerrorname_np(errno));
    return !!p;
}

static void show(void) {
    SHOW(fits(64 * MB));
    SHOW(fits(2048 * MB));
    SHOW(fits(8192 * MB));
    void *old = sbrk(0);
    SHOW(sbrk(900 * MB) != (void *)-1);
    brk(old);
    SHOW(sbrk(32 * MB) != (void *)-1);
    brk(old);
    char *p = get(4096, PROT_READ | PROT_WRITE);
    char *grown = mremap(p, 4096, 4096 * MB, MREMAP_MAYMOVE);
    SHOW(grown != MAP_FAILED);
    if (grown == MAP_FAILED) munmap(p, 4096);
    else munmap(grown, 4096 * MB);
}

static void *thread(void *unused) {
    SHOW(fits(8192 * MB));
    return unused;
}

// RLIMIT_MEMLOCK bounds what mlock(2) locks, for who has no CAP_IPC_LOCK.
static void lock(void) {
    char *p = get(64 * 4096, PROT_READ | PROT_WRITE);
    struct rlimit limit = {8 * 4096 + 100, 8 * 4096 + 100};
    FAILS(mlock(p, 16 * 4096)); // with all that is allowed to begin with, or all rights
    FAILS(munlock(p, 16 * 4096));
    if (!getuid()) FAILS(setresuid(1000, 1000, 1000));
    FAILS(setrlimit(RLIMIT_MEMLOCK, &limit));
    FAILS(mlock(p, 9 * 4096));
    FAILS(mlock(p, 8 * 4096));
    FAILS(mlock(p + 4096, 7 * 4096)); // what is locked counts once
    FAILS(mlock(p + 9 * 4096, 1));
    FAILS(munlock(p + 4096 + 100, 100));
    FAILS(mlock(p + 9 * 4096, 1));
    FAILS(mlock(p + 20 * 4096, 1));
    FAILS(munmap(p + 2 * 4096, 2 * 4096));
    FAILS(mlock(p + 20 * 4096, 2 * 4096)); // what is gone doesn't count
    FAILS(mlock(p + 20 * 4096, 3 * 4096));
    FAILS(munlock(p, 8 * 4096)); // over a hole
    FAILS(mlock(p, 4 * 4096));
    FAILS(mlock(p, 6 * 4096));
    pid_t pid = fork();
    if (!pid) {
        FAILS(mlock(p + 30 * 4096, 8 * 4096)); // locks are not inherited
        _exit(0);
    }
    show_status("child", status_of(pid));
    FAILS(mlockall(MCL_CURRENT));
    FAILS(munlockall());
    FAILS(mlock(p + 30 * 4096, 8 * 4096));
    limit.rlim_cur = 0;
    FAILS(setrlimit(RLIMIT_MEMLOCK, &limit));
    FAILS(mlock(p, 0));
    FAILS(mlockall(MCL_FUTURE));
    FAILS(mlockall(0));
    FAILS(munlock(p, 4096));
}

int main(int argc, char **argv) {
    setvbuf(stdout, 0, _IONBF, 0);
    if (argc > 1) {
        struct rlimit limit;
        getrlimit(atoi(argv[1]), &limit);
        SHOW(limit.rlim_cur / MB);
        show();
        return 0;
    }
    show();
    int resources[] = {RLIMIT_AS, RLIMIT_DATA};
    for (int i = 0; i < 2; i++) {
        int resource = resources[i];
        printf("-- %d\n", resource);
        set(resource, 512 * MB);
        show();
        SHOW(malloc(3000 * MB) != 0);
        pthread_t t;
        pthread_create(&t, 0, thread, 0);
        pthread_join(t, 0);
        if (resource == RLIMIT_DATA) {
            void *p = get(8192 * MB, PROT_READ);
            SHOW(p != 0);
            munmap(p, 8192 * MB);
        }
        pid_t pid = fork();
        if (!pid) {
            show();
            char text[9];
            sprintf(text, "%d", resource);
            execl(argv[0], argv[0], text, NULL);
            _exit(1);
        }
        show_status("child", status_of(pid));
        set(resource, RLIM_INFINITY);
        show();
    }
    struct rlimit hard = {512 * MB, 512 * MB}, wrong = {2, 1}, old;
    FAILS(setrlimit(RLIMIT_AS, &wrong));
    FAILS(prlimit(0, RLIMIT_AS, &hard, &old));
    SHOW(old.rlim_cur == RLIM_INFINITY);
    FAILS(syscall(SYS_prlimit64, 0, RLIMIT_AS, 8, 0));
    FAILS(syscall(SYS_prlimit64, 0, 99, &hard, 0));
    FAILS(syscall(SYS_setrlimit, RLIMIT_AS, &hard));
    show();
    printf("-- MEMLOCK\n");
    pid_t pid = fork();
    if (!pid) lock(), exit(0);
    show_status("locks", status_of(pid));
    return 0;
}
