// A guest that filters itself, asks for the filter's descriptor, or turns on what would let it in.
#include "escape.h"
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    struct sock_filter allow[] = {{6, 0, 0, SECCOMP_RET_ALLOW}};
    struct sock_fprog program = {1, allow};
    for (int flags = 0; flags < 64; flags++) {
        IN_CHILD({
            prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
            RAW(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
            if (open(canary, O_RDWR) >= 0)
                escaped("a filter of our own opened the canary");
        });
        int status = IN_CHILD({ STUB_RAW(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program); });
        if (!WIFSIGNALED(status))
            escaped("seccomp from the stub's addresses did not end its process (status %#x)", status);
    }
    IN_CHILD({ prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program); });
    for (int option = 0; option < 80; option++)
        IN_CHILD({
            if (STUB_RAW(SYS_prctl, option, 1, 0, 0, 0) == 0)
                escaped("prctl %d from the stub's addresses", option);
        });
    IN_CHILD({ RAW(SYS_arch_prctl, 0x1023, 18); RAW(SYS_arch_prctl, 0x1012, 1); RAW(SYS_arch_prctl, 0x2001, 0x1000); });
    // ioctls of a seccomp listener and of everything else, on whatever descriptors there are.
    static unsigned char buffer[256];
    unsigned long requests[] = {0xc0502100, 0xc0182101, 0x40082102, 0x40182103, 0x5412, 0x541b, 0x5413};
    for (int fd = 0; fd < 16; fd++)
        for (unsigned i = 0; i < sizeof requests / sizeof *requests; i++)
            STUB_RAW(SYS_ioctl, fd, requests[i], buffer);
    contained();
}
