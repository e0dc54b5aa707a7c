// Every number with several argument patterns, from the addresses that the filter takes for the stub's.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    volatile long *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    long c = (long)canary;
    long patterns[][6] = {
        {0, 0, 0, 0, 0, 0},
        {-1, -1, -1, -1, -1, -1},
        {c, O_RDWR, 0777, 0, 0, 0},
        {AT_FDCWD, c, O_RDWR | O_CREAT | O_TRUNC, 0777, 0, 0},
        {host_pid, 9, 9, c, 0, 0},
    };
    long count = 600 * (long)(sizeof patterns / sizeof *patterns);
    while (*at < count) {
        pid_t child = fork();
        if (child == 0) {
            while (*at < count) {
                long i = (*at)++, nr = i % 600, *a = patterns[i / 600];
                struct itimerval limit = {.it_value = {0, 50000}};
                RAW(SYS_setitimer, 0, &limit, 0);
                STUB_RAW(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
            }
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0)
            usleep(1000);
    }
    contained();
}
