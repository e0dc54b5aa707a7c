// Native clones that the supervisor was not told about, from the stub's addresses, with blocks of our own making.
#include "escape.h"

static unsigned long block[0x2000] __attribute__((aligned(0x8000)));
static char stack[1 << 16] __attribute__((aligned(4096)));

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    static const unsigned long masks[] = {0xd0f00, 0x2d0f00, 0x8000, 0x208000, 0x8100, 0x208100};
    unsigned long blocks[] = {0, (unsigned long)block, STUB, STUB + 0x8000, ~0ul, 0xffff800000000000, (unsigned long)stack + 1};
    unsigned long asked[] = {0, SIGCHLD, 0x8000, 0x4100, 0xd0f00, 0x3d0f00, 0x10000000, ~0ul};
    for (unsigned m = 0; m < 6; m++)
        for (unsigned b = 0; b < sizeof blocks / sizeof *blocks; b++)
            for (unsigned a = 0; a < sizeof asked / sizeof *asked; a++)
                IN_CHILD({
                    block[1] = asked[a];
                    unsigned long *top = (void *)(stack + sizeof stack - 256);
                    top[0] = 0; // a thread on this stack returns to 0
                    long r = STUB_RAW(SYS_clone, masks[m], masks[m] & 0x100 ? top : 0, 0, 0, 0, blocks[b]);
                    if (r == 0) { // never reported in: each of these ends us
                        for (int i = 0; i < 3; i++) {
                            long fd = RAW(SYS_open, canary, O_RDWR);
                            if (fd >= 0)
                                escaped("an unknown process opened the canary");
                            STUB_RAW(SYS_execve, "/bin/sh", 0, 0);
                        }
                        for (;;)
                            RAW(SYS_sched_yield);
                    }
                });
    contained();
}
