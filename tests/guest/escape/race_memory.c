// Memory that comes, goes and changes its rights under the kernel's reads and writes.
#include "escape.h"
#include <pthread.h>
#include <sys/uio.h>

static char *area;
static volatile int stop;

static void *churn(void *unused) {
    while (!stop) {
        mmap(area, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        mprotect(area, 1 << 15, PROT_READ);
        munmap(area + (1 << 14), 1 << 14);
        mprotect(area, 1 << 14, PROT_NONE);
    }
    return 0;
}

int main(int argc, char **argv) {
    begin(argc, argv);
    area = mmap(0, 1 << 16, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_t thread;
    pthread_create(&thread, 0, churn, 0);
    int zero = open("/dev/zero", O_RDWR), random = open("/dev/urandom", O_RDONLY), ends[2];
    if (pipe2(ends, O_NONBLOCK))
        escaped("pipe2");
    for (int i = 0; i < 5000 && time_left(20); i++) {
        RAW(SYS_read, i % 2 ? zero : random, area + i % 4096, 60000);
        RAW(SYS_write, ends[1], area, 60000);
        RAW(SYS_read, ends[0], area, 60000);
        RAW(SYS_getcwd, area + i, 4096);
        RAW(SYS_uname, area + i);
        RAW(SYS_open, area + 100, O_RDWR);
        RAW(SYS_readv, zero, area + i % 65536, i % 2000);
        RAW(SYS_poll, area + i, 64, 0);
        RAW(SYS_rt_sigprocmask, 0, area + i, area + 2 * i, 8);
        RAW(SYS_newfstatat, AT_FDCWD, "/tmp", area + i, 0);
    }
    stop = 1;
    pthread_join(thread, 0);
    // What is read-only for the guest stays so for the kernel's answers.
    char *fixed = mmap(0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (RAW(SYS_read, zero, fixed, 16) != -EFAULT || RAW(SYS_read, random, "constant", 4) != -EFAULT)
        escaped("the kernel wrote to read-only memory");
    contained();
}
