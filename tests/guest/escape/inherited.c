// Descriptors of the supervisor or the host in a guest process: none, neither ours nor the host kernel's.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    for (int fd = 3; fd < 4096; fd++)
        if (fcntl(fd, F_GETFD) >= 0)
            escaped("descriptor %d is open", fd);
    for (int fd = 0; fd < 4096; fd++) { // natively, by the calls that the stub has
        long r = STUB_RAW(SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
        if ((unsigned long)r < -4096ul)
            escaped("the host's descriptor %d can be mapped", fd);
        r = STUB_RAW(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if ((unsigned long)r < -4096ul)
            escaped("the host's descriptor %d can be mapped for writing", fd);
        if (STUB_RAW(SYS_close, fd) != -EBADF)
            escaped("the host's descriptor %d was open", fd);
    }
    contained();
}
