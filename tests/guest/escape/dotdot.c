// Host paths through "..": from the root, from mounts, from directories that move while we stand in them.
#include "escape.h"

int main(int argc, char **argv) {
    begin(argc, argv);
    static const char *starts[] = {"", "/", "/escape", "/tmp", "/usr/bin", "/proc/self", "/dev", "/proc/self/fd", "/etc/../usr"};
    static char path[8192];
    for (unsigned s = 0; s < sizeof starts / sizeof *starts; s++)
        for (int up = 0; up <= 64; up += up < 12 ? 1 : 13) {
            strcpy(path, starts[s]);
            for (int i = 0; i < up; i++)
                strcat(path, i % 2 ? "/./.." : "/..");
            strcat(path, canary);
            try_open(path);
        }
    // Out of a directory that is renamed away, removed, or below a changed root.
    mkdir("/tmp/a", 0777), mkdir("/tmp/a/b", 0777), mkdir("/tmp/a/b/c", 0777), mkdir("/tmp/jail", 0777);
    IN_CHILD({
        if (chdir("/tmp/a/b/c"))
            _exit(0);
        rename("/tmp/a/b/c", "/tmp/c");
        rmdir("/tmp/c");
        for (int i = 0; i < 40; i++) {
            if (chdir(".."))
                break;
            try_open(canary + 1);
        }
    });
    IN_CHILD({
        int root = open("/", O_RDONLY | O_DIRECTORY);
        if (chroot("/tmp/jail")) // the classic way out of a chroot
            _exit(0);
        fchdir(root);
        for (int i = 0; i < 64; i++)
            chdir("..");
        chroot(".");
        try_open(canary);
        try_open(canary + 1);
        for (int fd = 0; fd < 16; fd++) {
            int up = openat(fd, "../../../../../../../..", O_RDONLY | O_DIRECTORY);
            if (up >= 0 && openat(up, canary + 1, O_RDONLY) >= 0)
                escaped("openat above descriptor %d", fd);
        }
    });
    // openat2 with and without its walls; a path of the longest kind.
    struct { unsigned long flags, mode, resolve; } how = {O_RDWR, 0, 0};
    for (how.resolve = 0; how.resolve < 64; how.resolve++)
        if (RAW(437, AT_FDCWD, canary, &how, sizeof how) >= 0)
            escaped("openat2 with resolve %#lx", how.resolve);
    memset(path, '/', 4000);
    strcpy(path + 4000 - strlen(canary), canary);
    try_open(path);
    contained();
}
