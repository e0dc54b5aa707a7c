// Processes and threads that the supervisor thinks are gone, or never were, and that go on computing without a call.
#include "escape.h"
#include <time.h>

static volatile long *counters; // of each that goes on
static unsigned long frame[120], block[0x1000] __attribute__((aligned(0x8000)));
static char stack[1 << 16] __attribute__((aligned(4096)));

__attribute__((noreturn)) static void count(int which) {
    for (;;)
        counters[which * 64]++;
}

static int counting(void *which) {
    count((long)which);
}

static void counting_thread(void) {
    count(7);
}

static void counting_process(void) {
    count(8);
}

static void report_for_another(void) {
    RAW(SYS_lseek, REQUEST, 5, block[0], block);
    for (;;)
        RAW(SYS_getppid);
}

static void forge(long number) {
    frame[18] = number; // rax
    RAW(SYS_lseek, REQUEST, 2, frame, 0, 0, 0);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    counters = mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (fork() == 0)
        forge(SYS_exit_group), count(0);
    if (fork() == 0)
        forge(SYS_exit), count(1);
    if (fork() == 0) { // one thread of two
        clone(counting, stack + sizeof stack - 4096, 0xd0f00, (void *)2l, 0, stack, 0);
        forge(SYS_exit), count(3);
    }
    if (fork() == 0) // a clone that is ordered but not made, and leaves nothing to wait for
        forge(SYS_fork), count(4);
    block[1] = SIGCHLD; // never reports in
    if (STUB_RAW(SYS_clone, 0x8000, 0, 0, 0, 0, block) == 0)
        count(5);
    if (STUB_RAW(SYS_clone, 0x8000, 0, 0, 0, 0, block) == 0)
        count(6);
    RAW(SYS_lseek, REQUEST, 11, block[0], -11); // is said to have failed
    if (fork() == 0) { // a thread of that kind
        block[1] = 0xd0f00;
        unsigned long *top = (void *)(stack + sizeof stack - 4096);
        top[0] = (unsigned long)counting_thread; // where it returns to
        STUB_RAW(SYS_clone, 0xd0f00, top, 0, 0, stack, block);
        RAW(SYS_lseek, REQUEST, 11, block[0], -11);
        for (;;)
            pause();
    }
    if (fork() == 0) { // a process on our memory, for which a thread reports in that is not it
        static unsigned long other[0x1000] __attribute__((aligned(0x8000)));
        unsigned long *top = (void *)(stack + sizeof stack - 4096), *second = (void *)(stack + sizeof stack / 2);
        top[0] = (unsigned long)counting_process, second[0] = (unsigned long)report_for_another;
        block[1] = 0x100 | SIGCHLD, other[1] = 0xd0f00;
        STUB_RAW(SYS_clone, 0x8100, top, 0, 0, 0, block);
        STUB_RAW(SYS_clone, 0xd0f00, second, 0, 0, stack, other);
        for (;;)
            pause();
    }
    sleep(13);
    kill(-1, SIGKILL);
    struct timespec rest = {0, 300000000};
    nanosleep(&rest, 0);
    long before[9];
    for (int i = 0; i < 9; i++)
        before[i] = counters[i * 64];
    nanosleep(&rest, 0);
    for (int i = 0; i < 9; i++)
        if (counters[i * 64] != before[i])
            escaped("%d goes on", i);
    if (!before[5] || !before[6] || !before[7] || !before[8])
        escaped("the strays were never there");
    contained();
}
