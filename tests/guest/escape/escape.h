// What the hostile programs share. Each tries to reach the host by one family of means and is given
//   argv[1]  a world-writable file of the host outside the sandbox's view (the canary)
//   argv[2]  its directory, world-writable too
//   argv[3]  the host pid of a process of the same user (the supervisor's is near it)
//   argv[4]  a TCP port on which the host listens
//   argv[5]  a key of IPC objects of the host
//   argv[6]  the platform: a stub is in the process on native alone; elsewhere its addresses are any
// They print "contained" and exit with 0 if nothing worked. The test looks at the host's side itself.
// NEVER RUN THESE ON A HOST: they try to do what they say.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <sys/wait.h>
#include <unistd.h>

#define SECRET "canary-secret"
#define STUB 0x600000000000ul
#define STUB_PAGE ((void *)0x600080000000ul) // routed as the stub, and free
#define ESCAPED 77 // the status of a program that got out
#define REQUEST 0x7079626f80001b0cul

static const char *canary, *canary_dir;
static int host_pid, host_port, has_stub;

static inline long raw(long n, long a, long b, long c, long d, long e, long f) {
    long r;
    register long r10 asm("r10") = d;
    register long r8 asm("r8") = e;
    register long r9 asm("r9") = f;
    asm volatile("syscall" : "=a"(r) : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    return r;
}
#define RAW_(n, a, b, c, d, e, f, ...) raw(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define RAW(...) RAW_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

// The same as raw(), from an address that the filter takes for the stub's.
static const unsigned char call_code[] = {0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, 0x4d, 0x89,
                                          0xc2, 0x4d, 0x89, 0xc8, 0x4c, 0x8b, 0x4c, 0x24, 0x08, 0x0f, 0x05, 0xc3};
static long (*stub_raw)(long, long, long, long, long, long, long);
#define STUB_RAW_(n, a, b, c, d, e, f, ...) stub_raw(n, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))
#define STUB_RAW(...) STUB_RAW_(__VA_ARGS__, 0, 0, 0, 0, 0, 0)

static inline void take_stub_page(void) {
    void *p = mmap(STUB_PAGE, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    if (p == MAP_FAILED) {
        puts("contained: no page at the stub's addresses");
        exit(0);
    }
    memcpy(p, call_code, sizeof call_code);
    stub_raw = p;
}

__attribute__((noreturn, format(printf, 1, 2))) static inline void escaped(const char *what, ...) {
    __builtin_va_list list;
    __builtin_va_start(list, what);
    printf("ESCAPED: ");
    vprintf(what, list);
    putchar('\n');
    fflush(stdout);
    exit(ESCAPED);
}

__attribute__((noreturn)) static inline void contained(void) {
    puts("contained");
    fflush(stdout);
    exit(0);
}

// Whether an attempt may go on: what is tried in many ways stops after so many seconds on a slow machine.
static inline int time_left(double seconds) {
    static struct timespec start;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    if (!start.tv_sec)
        start = now;
    return (now.tv_sec - start.tv_sec) + (now.tv_nsec - start.tv_nsec) / 1e9 < seconds;
}

// A child that may die or hang; its wait status, 0 if it came to its end.
#ifndef CHILD_MS
#define CHILD_MS 2000
#endif
#define IN_CHILD(...)                                                                                                     \
    ({                                                                                                                    \
        fflush(stdout);                                                                                                   \
        int status_ = 0;                                                                                                  \
        pid_t pid_ = fork();                                                                                              \
        if (pid_ == 0) {                                                                                                  \
            setitimer(ITIMER_REAL, &(struct itimerval){.it_value = {CHILD_MS / 1000, CHILD_MS % 1000 * 1000}}, 0);        \
            __VA_ARGS__;                                                                                                  \
            _exit(0);                                                                                                     \
        }                                                                                                                 \
        if (pid_ > 0)                                                                                                     \
            while (waitpid(pid_, &status_, 0) < 0 && errno == EINTR)                                                      \
                ;                                                                                                         \
        if (WIFEXITED(status_) && WEXITSTATUS(status_) == ESCAPED)                                                        \
            exit(ESCAPED);                                                                                                \
        status_;                                                                                                          \
    })

// Whether a descriptor reads as the canary.
static inline int reads_canary(int fd) {
    char data[64] = {0};
    long n = pread(fd, data, sizeof data - 1, 0);
    return n > 0 && strstr(data, SECRET) != 0;
}

static inline void try_open(const char *path) {
    static const int how[] = {O_RDONLY, O_RDWR, O_WRONLY | O_TRUNC, O_PATH, O_RDONLY | O_NOFOLLOW, O_WRONLY | O_APPEND};
    for (unsigned i = 0; i < sizeof how / sizeof *how; i++) {
        int fd = open(path, how[i]);
        if (fd < 0)
            continue;
        if (reads_canary(fd))
            escaped("%s reads as the canary", path);
        if (write(fd, "overwritten", 11) < 0)
            (void)0;
        close(fd);
    }
    struct stat st;
    if (stat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == sizeof SECRET - 1)
        escaped("%s has the canary's size", path);
}

static inline void begin(int argc, char **argv) {
    if (argc < 5)
        _exit(2);
    canary = argv[1];
    canary_dir = argv[2];
    host_pid = atoi(argv[3]);
    host_port = atoi(argv[4]);
    has_stub = argc > 6 && strcmp(argv[6], "native") == 0;
}
