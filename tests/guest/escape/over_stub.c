// Code mapped over the stub itself: what the handler and the clone code would do is ours to choose.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    for (unsigned long offset = 0; offset < 0x40000; offset += 0x1000) {
        IN_CHILD({
            unsigned char *page = mmap((void *)(STUB + offset), 4096, PROT_READ | PROT_WRITE | PROT_EXEC,
                                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
            if (page == MAP_FAILED)
                _exit(0);
            memset(page, 0x90, 4096);
            memcpy(page + 4096 - sizeof call_code, call_code, sizeof call_code);
            stub_raw = (void *)(page + 4096 - sizeof call_code);
            long fd = STUB_RAW(SYS_open, canary, O_RDWR);
            if (fd >= 0)
                escaped("open from the stub's page %#lx", offset);
            STUB_RAW(SYS_execve, "/bin/sh", 0, 0);
            STUB_RAW(SYS_unlink, canary);
            raise(SIGUSR1); // through the overwritten handler
        });
        IN_CHILD({
            munmap((void *)(STUB + offset), 0x40000 - offset);
            open(canary, O_RDWR);
            fork();
            kill(getpid(), SIGTERM);
        });
    }
    contained();
}
