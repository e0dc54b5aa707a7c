// Memory: file mappings private and shared, protection, growth and moves, across fork, past the end of a file.
#include "check.h"

static sigjmp_buf back;
static void fault(int signo, siginfo_t *i, void *context) {
    (void)context;
    printf("signal %d code %d\n", signo, i->si_code);
    siglongjmp(back, 1);
}
#define TOUCH(what) \
    do { \
        if (!sigsetjmp(back, 1)) printf("%s -> %d\n", #what, (int)(what)); \
    } while (0)

// A file that is mapped again and again by one descriptor, while the descriptor comes to name another file.
static const char *const texts[] = {"/usr/share/common-licenses/GPL-3", "/usr/share/common-licenses/Apache-2.0"};

static unsigned sum_of(int fd, size_t size, int prot, int flags, off_t offset) {
    unsigned char *at = mmap(NULL, size, prot, flags, fd, offset);
    unsigned sum = 0;
    if (at == MAP_FAILED) return -errno;
    for (size_t i = 0; i < size; i++) sum = sum * 31 + at[i];
    munmap(at, size);
    return sum;
}

static void *sum_in_thread(void *fd) { return (void *)(long)sum_of(*(int *)fd, 4096, PROT_READ, MAP_PRIVATE, 0); }

static void mapped_again(void) {
    int fd = open(texts[0], O_RDONLY), other = open(texts[1], O_RDONLY);
    for (int i = 0; i < 3; i++) SHOW(sum_of(fd, 4096, PROT_READ | (i ? PROT_WRITE : 0), MAP_PRIVATE, i * 4096));
    SHOW(sum_of(fd, 4096, PROT_READ, MAP_SHARED, 0)), SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 7));
    SHOW(sum_of(fd, 0, PROT_READ, MAP_PRIVATE, 0)), SHOW(sum_of(fd, 4096, PROT_READ, 0, 0));
    SHOW(sum_of(other, 4096, PROT_READ, MAP_PRIVATE, 0)), SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 4096));
    SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 4096)), SHOW(dup2(other, fd) == fd);
    SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0));
    close(fd);
    FAILS((int)sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0) == -EBADF);
    SHOW(open(texts[0], O_RDONLY) == fd), SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0));
    SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 4096));
    for (int vm = 0; vm < 2; vm++) {
        pid_t pid = vm ? vfork() : fork();
        if (pid == 0) {
            int good = sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0) == sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0);
            if (dup2(other, fd) != fd) _exit(1);
            good &= sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0) == sum_of(other, 4096, PROT_READ, MAP_PRIVATE, 0);
            _exit(good ? 5 : 6);
        }
        show_status("a child maps", status_of(pid));
        SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0));
    }
    pthread_t thread;
    void *sum;
    pthread_create(&thread, NULL, sum_in_thread, &fd), pthread_join(thread, &sum);
    SHOW((unsigned)(long)sum), SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0));
    SHOW(dup3(other, fd, O_CLOEXEC) == fd), SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0));
    close(fd), fd = open(texts[0], O_WRONLY);
    SHOW(sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0));
    for (int i = 0; i < 40; i++) { // more files than the host lets a guest hold
        close(fd), fd = open(texts[i % 2], O_RDONLY);
        if (sum_of(fd, 4096, PROT_READ, MAP_PRIVATE, 0) != sum_of(fd, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, 0)) SHOW(i);
    }
    close(fd), close(other);
}

int main(void) {
    setvbuf(stdout, NULL, _IONBF, 0);
    struct sigaction action = {.sa_sigaction = fault, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &action, NULL), sigaction(SIGBUS, &action, NULL);

    int fd = open("f", O_RDWR | O_CREAT | O_TRUNC, 0644);
    char page[4096];
    memset(page, 'a', sizeof page);
    SHOW(write(fd, page, sizeof page)), SHOW(write(fd, "tail", 4));
    char *shared = mmap(NULL, 12288, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    char *private = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    shared[0] = 'S', private[1] = 'P';
    SHOW(pread(fd, page, 4, 0)), printf("%.4s %.4s %.4s\n", page, shared, private);
    SHOW(pwrite(fd, "WXYZ", 4, 4096)), printf("%.4s %.4s %d\n", shared + 4096, private + 4096, shared[4100]);
    TOUCH(shared[8192]); // past the last page of the file: SIGBUS
    SHOW(ftruncate(fd, 4096));
    TOUCH(shared[4096]);
    SHOW(ftruncate(fd, 12288));
    TOUCH(shared[8192] + shared[4096]);

    pid_t pid = fork();
    if (pid == 0) {
        shared[10] = 'C', private[10] = 'C';
        _exit(0);
    }
    status_of(pid);
    printf("%c %c\n", shared[10], private[10]);
    SHOW(msync(shared, 4096, MS_SYNC)), FAILS(msync(shared + 1, 4096, MS_SYNC));
    SHOW(munmap(shared + 4096, 4096));
    TOUCH(shared[4096]);
    SHOW(mprotect(private, 4096, PROT_READ));
    TOUCH(private[0] = 1);
    TOUCH(private[0]);
    FAILS(mprotect((void *)0x123, 4096, PROT_READ)), FAILS(munmap((void *)0x123, 4096));

    int readonly = open("f", O_RDONLY);
    FAILS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, readonly, 0) == MAP_FAILED ? -1 : 0);
    FAILS(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, readonly, 0) == MAP_FAILED ? -1 : 0);
    FAILS(mmap(NULL, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == MAP_FAILED ? -1 : 0);
    FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, readonly, 100) == MAP_FAILED ? -1 : 0);
    FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, 77, 0) == MAP_FAILED ? -1 : 0);
    int pipes[2];
    if (pipe(pipes)) return 1;
    FAILS(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, pipes[0], 0) == MAP_FAILED ? -1 : 0);

    char *moved = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(moved, 'm', 8192);
    moved = mremap(moved, 8192, 1 << 20, MREMAP_MAYMOVE);
    SHOW(moved[8191]), SHOW(moved[8192]);
    char *start = sbrk(0);
    SHOW(sbrk(100000) == start);
    memset(start, 1, 100000);
    SHOW(sbrk(-100000) != (void *)-1);
    char *big = malloc(64 << 20);
    memset(big, 2, 64 << 20);
    SHOW(big[(64 << 20) - 1]);
    free(big);

    void *volatile nothing[] = {(void *)0x10, (void *)-4096L, (void *)(1UL << 63)};
    for (int i = 0; i < 3; i++)
        FAILS(write(fd, nothing[i], 4)), FAILS(read(fd, nothing[i], 4)), FAILS(open(nothing[i], 0));
    lseek(fd, 0, SEEK_SET);
    char *edge = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    munmap(edge + 4096, 4096);
    FAILS(read(fd, edge + 4090, 100)); // the part that fits
    strcpy(edge + 4096 - 10, "/dev/null");
    FAILS(open(edge + 4096 - 10, O_RDONLY) < 0 ? -1 : 0); // a string that ends where memory ends
    memset(edge + 4096 - 10, 'x', 10);
    FAILS(open(edge + 4096 - 10, O_RDONLY));
    const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3};
    unsigned char *jit = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memcpy(jit, code, sizeof code);
    SHOW(mprotect(jit, 4096, PROT_READ | PROT_EXEC));
    SHOW(((int (*)(void))jit)());
    mapped_again();
    // Many areas, in /proc.
    enum { PAGES = 12000 };
    char *many = mmap(NULL, PAGES * 4096L, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), line[512];
    for (long i = 0; i < PAGES; i += 2)
        if (mprotect(many + i * 4096, 4096, PROT_READ)) return 1;
    FILE *smaps = fopen("/proc/self/smaps", "r");
    int areas = 0, sizes = 0, inside = 0;
    unsigned long low, high;
    while (smaps && fgets(line, sizeof line, smaps))
        if (sscanf(line, "%lx-%lx ", &low, &high) == 2)
            areas += inside = low >= (unsigned long)many && low < (unsigned long)many + PAGES * 4096L;
        else if (inside && !strncmp(line, "Rss:", 4))
            sizes++;
    SHOW(areas), SHOW(sizes);
    return 0;
}
