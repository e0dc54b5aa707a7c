// Pages that processes share without knowing: of files, of programs, and of zeros. No store may reach another process.
#include "escape.h"

static unsigned char before[4096];

static void dies(const char *how, int status) {
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSEGV)
        escaped("%s ended with %#x", how, status);
}

static void unchanged(const char *what, const char *path) {
    int fd = open(path, O_RDONLY);
    unsigned char *p = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0), data[4096];
    if (fd < 0 || p == MAP_FAILED || pread(fd, data, 4096, 0) < 10)
        escaped("%s cannot be looked at", path);
    if (memcmp(p, before, 10) || memcmp(data, before, 10))
        escaped("%s changed %s", what, path);
    munmap(p, 4096), close(fd);
}

static void attack(const char *path) {
    int fd = open(path, O_RDONLY), zero = open("/dev/zero", O_RDONLY);
    if (fd < 0 || pread(fd, before, 4096, 0) < 10)
        escaped("%s does not open", path);
    char *fixed = mmap(0, 4096, PROT_READ, MAP_PRIVATE, fd, 0), *shared = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    char *copy = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
    dies("a store to a file", IN_CHILD({ (void)*(volatile char *)fixed; *(volatile char *)fixed = 'X'; }));
    dies("a store to a shared file", IN_CHILD({ (void)*(volatile char *)shared; *(volatile char *)shared = 'X'; }));
    if (RAW(SYS_read, zero, fixed, 16) != -EFAULT || RAW(SYS_read, zero, shared, 16) != -EFAULT)
        escaped("the kernel wrote to %s", path);
    if (mprotect(shared, 4096, PROT_READ | PROT_WRITE) == 0)
        escaped("%s can be written through a mapping", path);
    if (mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED)
        escaped("%s can be mapped for writing", path);
    unchanged("nothing", path);
    IN_CHILD({ copy[0] = 'X', msync(copy, 4096, MS_SYNC); unchanged("a child's copy", path); });
    (void)*(volatile char *)copy; // shown first, then written to
    memset(copy, 'X', 16);
    if (RAW(SYS_read, zero, copy + 16, 16) != 16)
        escaped("read");
    unchanged("a copy", path);
    if (mprotect(fixed, 4096, PROT_READ | PROT_WRITE))
        escaped("mprotect");
    fixed[1] = 'X';
    unchanged("a copy that was read-only", path);
    IN_CHILD({ fixed[2] = 'Y'; copy[2] = 'Y'; madvise(copy, 4096, MADV_DONTNEED); unchanged("a child", path); });
    if (fixed[2] == 'Y' || copy[2] != 'X')
        escaped("a child's store arrived");
    close(fd), close(zero);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    attack("/escape/readable"), attack("/cow/readable"), attack(argv[0]), attack("/proc/self/exe");
    // Our own text, which every process of this program shows.
    unsigned char *text = (void *)((unsigned long)main & -4096ul), was = *text;
    dies("a store to the program", IN_CHILD({ *(volatile unsigned char *)text = 0xcc; }));
    IN_CHILD({
        mprotect(text, 4096, PROT_READ | PROT_WRITE | PROT_EXEC);
        *(volatile unsigned char *)text ^= 0xff;
        mprotect(text, 4096, PROT_READ | PROT_EXEC);
    });
    if (*(volatile unsigned char *)text != was)
        escaped("the program was changed");
    // Zeros: read, then written to by one.
    volatile char *a = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    volatile char *b = mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1 << 16; i += 4096)
        if (a[i] || b[i])
            escaped("no zeros");
    dies("a store to zeros", IN_CHILD({ b[0] = 1; }));
    for (int i = 0; i < 1 << 16; i += 4096)
        a[i] = 1;
    IN_CHILD({ for (int i = 0; i < 1 << 16; i += 4096) a[i] = 2; });
    mprotect((char *)b, 4096, PROT_READ | PROT_WRITE);
    b[0] = 1;
    volatile char *c = mmap(0, 1 << 16, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (int i = 0; i < 1 << 16; i += 4096)
        if (c[i] || a[i] != 1 || b[i] != (i == 0))
            escaped("zeros changed");
    contained();
}
