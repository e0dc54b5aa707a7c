// Processes that want to outlive the sandbox: sessions of their own, no signal that could end them, stopped, orphaned.
#include "escape.h"
#include <sys/prctl.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    for (int kind = 0; kind < 6; kind++) {
        if (fork())
            continue;
        setsid();
        if (fork())
            _exit(0);
        for (int s = 1; s < 65; s++)
            signal(s, SIG_IGN);
        sigset_t all;
        sigfillset(&all);
        sigprocmask(SIG_BLOCK, &all, 0);
        prctl(PR_SET_PDEATHSIG, 0);
        STUB_RAW(SYS_prctl, PR_SET_PDEATHSIG, 0);
        for (int fd = 0; fd < 16; fd++)
            STUB_RAW(SYS_close, fd);
        if (kind == 1)
            raise(SIGSTOP);
        if (kind == 2) // gone from the stub: no code of it is left
            munmap((void *)STUB, 0x40000);
        if (kind == 3)
            for (;;)
                fork();
        if (kind == 4)
            for (;;)
                asm volatile("pause");
        if (kind == 5) // asleep natively
            sleep(1000000);
        for (;;)
            sched_yield();
    }
    contained();
}
