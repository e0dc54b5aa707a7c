// Host directories mounted ro and cow: /escape (ro) and /cow; their files are world-writable on the host.
#include "escape.h"
#include <sys/mount.h>
#include <sys/time.h>
#include <sys/xattr.h>

static void attack(const char *directory) {
    char path[512], other[512];
    snprintf(path, sizeof path, "%s/readable", directory);
    snprintf(other, sizeof other, "%s/new", directory);
    static const int how[] = {O_WRONLY, O_RDWR, O_WRONLY | O_TRUNC, O_RDWR | O_APPEND, O_WRONLY | O_CREAT};
    for (unsigned i = 0; i < sizeof how / sizeof *how; i++) {
        int fd = open(path, how[i], 0666);
        if (fd < 0)
            continue;
        (void)!write(fd, "overwritten", 11);
        (void)!ftruncate(fd, 3);
        fchmod(fd, 0777);
        fsync(fd);
        char *p = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (p != MAP_FAILED) {
            p[0] = 'X';
            msync(p, 4096, MS_SYNC);
            munmap(p, 4096);
        }
        close(fd);
    }
    // A descriptor for reading gives no way to write, not by /proc, not by mprotect.
    int fd = open("/escape/readable", O_RDONLY);
    snprintf(other, sizeof other, "/proc/self/fd/%d", fd);
    int again = open(other, O_RDWR);
    if (again >= 0 && write(again, "overwritten", 11) > 0)
        escaped("a read-only file was reopened for writing");
    char *p = mmap(0, 4096, PROT_READ, MAP_SHARED, fd, 0);
    if (p != MAP_FAILED && mprotect(p, 4096, PROT_READ | PROT_WRITE) == 0)
        escaped("a shared mapping of a read-only file became writable");
    snprintf(other, sizeof other, "%s/new", directory);
    truncate(path, 0);
    chmod(path, 0);
    chown(path, 0, 0);
    utimes(path, 0);
    setxattr(path, "user.x", "y", 1, 0);
    link(path, other);
    rename(path, other);
    symlink(canary, other);
    mkdir(other, 0777);
    mknod(other, S_IFREG | 0666, 0);
    mknod(other, S_IFBLK | 0666, 0x0100);
    unlink(path);
    rmdir(directory);
    rename(directory, "/tmp/taken");
    mount("/", directory, 0, MS_BIND, 0);
    umount2(directory, MNT_DETACH);
    mount(0, directory, 0, MS_REMOUNT, 0);
}

int main(int argc, char **argv) {
    begin(argc, argv);
    attack("/escape");
    attack("/cow");
    attack("/usr/bin");
    contained();
}
