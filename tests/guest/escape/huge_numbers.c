// Sizes and counts that must be bounded before they size anything in the supervisor.
#include "escape.h"
#include <poll.h>
#include <sys/uio.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    static char small[4096], *one_word[] = {small, 0};
    int zero = open("/dev/zero", O_RDWR), file = open("/tmp/file", O_RDWR | O_CREAT, 0644), ends[2], dir = open("/", O_RDONLY);
    if (pipe2(ends, O_NONBLOCK))
        escaped("pipe2");
    unsigned long sizes[] = {~0ul, 1ul << 63, (1ul << 63) - 1, 1ul << 40, 1ul << 32, (1ul << 31) - 1, 1ul << 31, 0x7ffff000};
    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        unsigned long n = sizes[i];
        struct iovec vector[4] = {{small, n}, {small, n}, {small, n}, {small, n}};
        IN_CHILD({
            RAW(SYS_read, zero, small, n), RAW(SYS_write, ends[1], small, n), RAW(SYS_write, 1 << 30, small, n);
            RAW(SYS_pread64, zero, small, n, n), RAW(SYS_pwrite64, file, small, n, n);
            RAW(SYS_readv, zero, vector, 4), RAW(SYS_writev, ends[1], vector, n), RAW(SYS_preadv, file, vector, n, n, n);
            RAW(SYS_getdents64, dir, small, n), RAW(SYS_getcwd, small, n), RAW(SYS_readlink, "/proc/self/exe", small, n);
        });
        IN_CHILD({
            RAW(SYS_poll, small, n, 0), RAW(SYS_select, n, small, small, small, 0), RAW(SYS_getgroups, n, small);
            RAW(SYS_setgroups, n, small), RAW(SYS_sched_getaffinity, 0, n, small), RAW(SYS_getrandom, small, n, 0);
            RAW(SYS_epoll_wait, zero, small, n, 0), RAW(SYS_listen, zero, n), RAW(SYS_sethostname, small, n);
            RAW(SYS_fcntl, ends[0], F_SETPIPE_SZ, n), RAW(SYS_mincore, small, n, small);
        });
        IN_CHILD({
            RAW(SYS_ftruncate, file, n), RAW(SYS_fallocate, file, 0, 0, n), RAW(SYS_fallocate, file, 0, n, n);
            RAW(SYS_lseek, file, n, 0), RAW(SYS_write, file, "x", 1), RAW(SYS_sendfile, ends[1], zero, 0, n);
            RAW(SYS_copy_file_range, file, 0, file, 0, n, 0), RAW(SYS_splice, zero, 0, ends[1], 0, n, 0);
            RAW(SYS_setxattr, "/tmp/file", "user.x", small, n, 0), RAW(SYS_listxattr, "/tmp/file", small, n);
            RAW(SYS_mmap, 0, n, 3, MAP_SHARED, file, 0), RAW(SYS_brk, n), RAW(SYS_dup2, 0, n), RAW(436, 3, n, 0);
        });
        IN_CHILD({
            struct { void *name; unsigned len; void *iov; unsigned long count; void *control; unsigned long controllen; int flags; }
                message = {small, n, vector, n, small, n, 0};
            int pair[2];
            RAW(SYS_socketpair, 1, 1, 0, pair);
            RAW(SYS_sendmsg, pair[0], &message, 0x40), RAW(SYS_recvmsg, pair[1], &message, 0x40);
            RAW(SYS_sendto, pair[0], small, n, 0x40, small, n), RAW(SYS_setsockopt, pair[0], 1, 7, small, n);
            RAW(SYS_execve, "/bin/true", one_word, (void *)n), RAW(SYS_memfd_create, small, n);
            RAW(SYS_mmap, 0, n, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        });
    }
    IN_CHILD({ // a handler's stack that ends behind all addresses
        struct sigaction action = {.sa_handler = (void *)main, .sa_flags = SA_ONSTACK};
        sigaction(SIGUSR1, &action, 0);
        unsigned long stack[3] = {-4096ul, 0, 8192};
        RAW(SYS_sigaltstack, stack, 0), raise(SIGUSR1);
    });
    // An argument vector without an end, and a string without one.
    char **endless = mmap(0, 1 << 24, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *text = mmap(0, 1 << 24, 3, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    memset(text, 'a', 1 << 24);
    for (int i = 0; i < 1 << 21; i++)
        endless[i] = text;
    IN_CHILD({ RAW(SYS_execve, "/bin/true", endless, endless); });
    IN_CHILD({ RAW(SYS_open, text, O_RDONLY); });
    contained();
}
