// Measures itself: probe WHAT COUNT [PROGRAM ARG...] prints nanoseconds per operation.
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1e9 + t.tv_nsec;
}

static void need(int condition, const char *what) {
    if (!condition) {
        perror(what);
        exit(1);
    }
}

static void ends(pid_t pid) {
    int status;
    need(waitpid(pid, &status, 0) == pid, "waitpid");
    if (!WIFEXITED(status) || WEXITSTATUS(status) == 127) {
        fprintf(stderr, "the child ended with status %#x\n", status);
        exit(1);
    }
}

static void ping_pong(long n) {
    int there[2], back[2];
    char byte = 'x';
    need(!pipe(there) && !pipe(back), "pipe");
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0) {
        for (long i = 0; i < n; i++)
            if (read(there[0], &byte, 1) != 1 || write(back[1], &byte, 1) != 1) _exit(127);
        _exit(0);
    }
    double start = now();
    for (long i = 0; i < n; i++) need(write(there[1], &byte, 1) == 1 && read(back[0], &byte, 1) == 1, "ping");
    printf("%.1f\n", (now() - start) / n);
    ends(pid);
}

// -- what is done once in each round ------------------------------------------------------------------------------

static char **program;

static void call(void) { syscall(SYS_getppid); }
static void asked(void) { syscall(SYS_getpgrp); }

static void stat_file(void) {
    struct stat st;
    need(!stat("/usr/share/common-licenses/GPL-3", &st), "stat");
}

static void open_and_close(void) {
    int fd = open("/usr/share/common-licenses/GPL-3", O_RDONLY);
    need(fd >= 0 && !close(fd), "open");
}

static void fork_and_wait(void) {
    pid_t pid = fork();
    need(pid >= 0, "fork");
    if (pid == 0) _exit(0);
    ends(pid);
}

static void spawn(void) {
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
    pid_t pid;
    need(!posix_spawn(&pid, program[0], &actions, NULL, program, environ), program[0]);
    ends(pid);
    posix_spawn_file_actions_destroy(&actions);
}

// A page that nobody has touched, far enough from the last one that no platform has made it beside that.
static void fault(void) {
    enum { STRIDE = 16 << 12, PAGES = 256 };
    static char *at, *end;
    if (at == end) {
        if (end) munmap(end - (long)PAGES * STRIDE, (long)PAGES * STRIDE);
        at = mmap(NULL, (long)PAGES * STRIDE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        need(at != MAP_FAILED, "mmap");
        end = at + (long)PAGES * STRIDE;
    }
    *(volatile char *)at = 1;
    at += STRIDE;
}

// Computing: each round is 1,000 steps, whose results are needed.

static void integer(void) {
    static unsigned long x = 88172645463325252;
    for (int i = 0; i < 1000; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        if (x & 1) x += i * 3;
    }
    need(x != 0, "integer");
}

static void floating(void) {
    static double a = 0.1, b = 0.2;
    for (int i = 0; i < 1000; i++) {
        double t = a * a - b * b + 0.25;
        b = 2 * a * b + 0.5 / (1 + a * a), a = t * 0.5;
    }
    need(a == a, "float");
}

enum { WORDS = 1 << 19 };
static unsigned long words[WORDS];

// Reads and writes of 8 bytes all over 4 MiB.
static void memory(void) {
    static unsigned long at = 1;
    for (int i = 0; i < 1000; i++) {
        at = at * 6364136223846793005 + 1442695040888963407;
        words[at >> 45] += at;
    }
    _Static_assert(WORDS == 1 << (64 - 45), "the shift gives an index");
}

static const struct {
    const char *name;
    void (*once)(void);
} table[] = {
    {"getppid", call},    {"getpgrp", asked},
    {"stat", stat_file}, {"open+close", open_and_close}, {"fork", fork_and_wait},
    {"spawn", spawn},     {"fault", fault},    {"integer", integer},           {"float", floating},
    {"memory", memory},
};

int main(int argc, char **argv) {
    if (argc < 3) return 2;
    long n = atol(argv[2]);
    program = argv + 3;
    if (!strcmp(argv[1], "pipe")) {
        ping_pong(n);
        return 0;
    }
    for (unsigned row = 0; row < sizeof table / sizeof *table; row++) {
        if (strcmp(argv[1], table[row].name)) continue;
        void (*once)(void) = table[row].once;
        if (once == memory) memset(words, 1, sizeof words);  // pages that are touched first are another row
        double start = now();
        for (long i = 0; i < n; i++) once();
        printf("%.1f\n", (now() - start) / n);
        return 0;
    }
    return 2;
}
