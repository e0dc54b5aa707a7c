// Rubbish over the stub's own data (thread block, dispositions, plan), then calls that use it.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    unsigned long fills[] = {0, ~0ul, STUB, 0x4141414141414141, 1ul << 63, 1};
    for (unsigned f = 0; f < sizeof fills / sizeof *fills; f++)
        for (unsigned long page = 0; page < 0x20000; page += 0x1000)
            IN_CHILD({
                unsigned long *words = (void *)(STUB + page);
                if (mprotect(words, 4096, PROT_READ | PROT_WRITE | PROT_EXEC))
                    _exit(0);
                for (int i = 0; i < 512; i++)
                    words[i] = fills[f];
                struct sigaction old;
                sigaction(SIGUSR1, 0, &old);
                signal(SIGUSR1, SIG_IGN);
                open(canary, O_RDWR);
                if (fork() == 0)
                    _exit(0);
                raise(SIGUSR1);
                RAW(SYS_brk, 0);
            });
    contained();
}
