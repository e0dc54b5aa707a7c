// Every number with several argument patterns, from guest code. Calls that hang or kill cost only their child.
#include "escape.h"

static char buffer[1 << 16];

int main(int argc, char **argv) {
    begin(argc, argv);
    volatile long *at = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    strcpy(buffer, canary);
    long p = (long)buffer, c = (long)canary, d = AT_FDCWD;
    long patterns[][6] = {
        {0, 0, 0, 0, 0, 0},
        {-1, -1, -1, -1, -1, -1},
        {c, O_RDWR, 0777, 0, 0, 0},
        {d, c, O_RDWR | O_CREAT | O_TRUNC, 0777, 0, 0},
        {c, c, c, c, c, c},
        {p, p, 1 << 12, p, p, p},
        {1ul << 63, 1ul << 63, 1ul << 63, 1ul << 63, 1ul << 63, 1ul << 63},
        {host_pid, 9, 9, p, 0, 0},
    };
    long count = 1024 * (long)(sizeof patterns / sizeof *patterns);
    signal(SIGCHLD, SIG_DFL);
    while (*at < count) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            long parent = getppid();
            while (*at < count) {
                long i = (*at)++, nr = i % 1024, *a = patterns[i / 1024];
                if (nr == SYS_exit || nr == SYS_exit_group)
                    continue;
                struct itimerval limit = {.it_value = {0, 50000}};
                RAW(SYS_setitimer, 0, &limit, 0);
                RAW(nr, a[0], a[1], a[2], a[3], a[4], a[5]);
                if (getppid() != parent) // it forked: only one goes on
                    _exit(0);
            }
            _exit(0);
        }
        int status;
        if (child < 0 || waitpid(child, &status, 0) < 0)
            usleep(1000);
    }
    contained();
}
