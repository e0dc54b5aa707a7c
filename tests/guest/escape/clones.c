// clone with each flag and with combinations, by every way there is; namespaces by unshare and setns.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    static char stack[65536];
    const unsigned long namespaces = 0x7e020080;
    for (int bit = 0; bit < 64; bit++) {
        unsigned long flag = 1ul << bit, bases[] = {SIGCHLD, 0, 0x8000, 0x100 | SIGCHLD, 0xd0f00, 0x4100};
        for (unsigned b = 0; b < sizeof bases / sizeof *bases; b++)
            for (int stub = 0; stub < 2; stub++)
                IN_CHILD({
                    unsigned long flags = bases[b] | flag;
                    long sp = flags & 0x100 ? (long)(stack + sizeof stack - 64) : 0;
                    if (flags & 0x100 && !(flags & 0x10000))
                        flags |= 0x4000; // a child on our memory: we wait for it
                    if (flags & 0x10000 && !stub)
                        _exit(0);
                    if (!has_stub && (flags & 0xff) >= SIGSTOP && (flags & 0xff) <= SIGTTOU)
                        _exit(0); // a child whose end would stop us
                    *(long *)(stack + sizeof stack - 64) = 0; // where such a child returns to: nowhere
                    long r = stub ? STUB_RAW(SYS_clone, flags, sp, 0, 0, 0, 0) : sp ? 0 : RAW(SYS_clone, flags, sp, 0, 0, 0);
                    if (r == 0 && !sp && flags & namespaces)
                        try_open("/proc/1/root");
                });
        IN_CHILD({
            if (RAW(SYS_unshare, flag) == 0 && flag & namespaces)
                escaped("unshare(%#lx)", flag);
        });
        IN_CHILD({
            unsigned long args[11] = {flag, 0, 0, 0, SIGCHLD};
            if (RAW(435, args, sizeof args) >= 0 || STUB_RAW(435, args, sizeof args) >= 0)
                escaped("clone3(%#lx)", flag);
        });
    }
    for (int fd = 0; fd < 8; fd++)
        if (RAW(SYS_setns, fd, 0) >= 0 || STUB_RAW(SYS_setns, fd, 0) >= 0)
            escaped("setns");
    contained();
}
