// Files between processes: events of inotify, mappings that are the file, locks that wait, the limit of a file's size.
#include "check.h"
#include <dirent.h>
#include <poll.h>
#include <sys/file.h>
#include <sys/inotify.h>

static const struct { unsigned bit; const char *name; } names[] = {
    {IN_ACCESS, "access"}, {IN_MODIFY, "modify"}, {IN_ATTRIB, "attrib"}, {IN_CLOSE_WRITE, "close_write"},
    {IN_CLOSE_NOWRITE, "close_nowrite"}, {IN_OPEN, "open"}, {IN_MOVED_FROM, "moved_from"},
    {IN_MOVED_TO, "moved_to"}, {IN_CREATE, "create"}, {IN_DELETE, "delete"}, {IN_DELETE_SELF, "delete_self"},
    {IN_MOVE_SELF, "move_self"}, {IN_IGNORED, "ignored"}, {IN_ISDIR, "isdir"}, {IN_Q_OVERFLOW, "overflow"},
};

static void events(int fd) {
    static char buffer[65536];
    unsigned cookie = 0;
    for (;;) {
        ssize_t size = read(fd, buffer, sizeof buffer);
        if (size < 0) break;
        for (char *p = buffer; p < buffer + size;) {
            struct inotify_event *e = (struct inotify_event *)p;
            printf("  %d", e->wd);
            for (unsigned i = 0; i < sizeof names / sizeof *names; i++)
                if (e->mask & names[i].bit) printf(" %s", names[i].name);
            if (e->len) printf(" %s", e->name);
            if (e->cookie) printf(e->cookie == cookie ? " (the same move)" : " (a move)");
            cookie = e->cookie;
            puts("");
            p += sizeof *e + e->len;
        }
    }
    printf("  then %s\n", strerrorname_np(errno));
}

static void write_file(const char *name, const char *text) {
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    if (write(fd, text, strlen(text)) < 0) perror(name);
    close(fd);
}

static void watching(void) {
    SHOW(mkdir("w", 0755));
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    SHOW(inotify_add_watch(fd, "w", IN_ALL_EVENTS));
    pid_t pid = fork();
    if (pid == 0) {
        write_file("w/a", "text");
        char *shell[] = {"sh", "-c", "cat w/a >w/b && mv w/b w/c && chmod 600 w/c && mkdir w/d && rm -r w/a w/d", NULL};
        execvp(shell[0], shell);
        _exit(127);
    }
    SHOW(status_of(pid));
    events(fd);
    SHOW(inotify_add_watch(fd, "w/c", IN_ALL_EVENTS));
    int open_file = open("w/c", O_RDONLY);
    SHOW(unlink("w/c")), events(fd);
    SHOW(close(open_file)), events(fd);

    if ((pid = fork()) == 0) {
        nap(50);
        write_file("w/later", "");
        _exit(0);
    }
    struct pollfd waiting = {.fd = fd, .events = POLLIN};
    SHOW(poll(&waiting, 1, 10000));
    SHOW(status_of(pid)), events(fd);
    FAILS(inotify_rm_watch(fd, 1)), events(fd);
    FAILS(inotify_add_watch(fd, "w/missing", IN_OPEN));
    SHOW(close(fd));
}

static sigjmp_buf back;
static volatile sig_atomic_t caught;
static void fault(int signo) { siglongjmp(back, signo); }
static void note(int signo) { caught = signo; }

static void mapping(void) {
    int fd = open("m", O_RDWR | O_CREAT | O_TRUNC, 0644), other = open("m", O_RDWR);
    SHOW(ftruncate(fd, 3 * 4096));
    char *map = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), text[8] = "";
    int turn[2], reply[2];
    if (pipe(turn) || pipe(reply)) return;
    pid_t pid = fork();
    if (pid == 0) {
        char *mine = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_SHARED, other, 0), byte;
        for (int i = 0; i < 3; i++) {
            if (read(turn[0], &byte, 1) != 1) _exit(1);
            if (i == 0) memcpy(mine + 4000, mine, 4);            // what the parent wrote with write(2)
            if (i == 1 && pwrite(other, "file", 4, 8192) != 4) _exit(2);
            if (i == 2) mine[1] = map[8192];                     // the mapping inherited and the one made here
            if (write(reply[1], "", 1) != 1) _exit(3);
        }
        _exit(0);
    }
    SHOW(pwrite(fd, "abcd", 4, 0));
    SHOW(write(turn[1], "", 1)), SHOW(read(reply[0], text, 1));
    SHOW(pread(fd, text, 4, 4000)), printf("%.4s %.4s\n", text, map + 4000);
    SHOW(write(turn[1], "", 1)), SHOW(read(reply[0], text, 1));
    printf("%.4s\n", map + 8192);
    SHOW(write(turn[1], "", 1)), SHOW(read(reply[0], text, 1));
    SHOW(status_of(pid)), SHOW(pread(other, text, 4, 0)), printf("%.4s\n", text);

    signal(SIGBUS, fault);
    SHOW(ftruncate(other, 4096));
    int signo = sigsetjmp(back, 1);
    if (signo) printf("behind the end: signal %d\n", signo);
    else printf("behind the end: %d\n", map[8192]);
    SHOW(ftruncate(fd, 3 * 4096)), SHOW(map[8192]);
    map[8192] = 'x';
    SHOW(lseek(fd, 0, SEEK_END)), SHOW(pread(fd, text, 1, 8192)), SHOW(text[0]);
    struct stat st;
    SHOW(fstat(fd, &st)), SHOW(st.st_size);
    SHOW(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 8192, 4096)), SHOW(map[8192]);
    SHOW(munmap(map, 3 * 4096));
}

static void locking(void) {
    int fd = open("l", O_RDWR | O_CREAT, 0644), ready[2];
    struct flock lock = {.l_type = F_WRLCK, .l_start = 10, .l_len = 10};
    if (pipe(ready)) return;
    pid_t pid = fork();
    if (pid == 0) {
        int mine = open("l", O_RDWR);
        if (fcntl(fd, F_SETLK, &lock) || flock(mine, LOCK_EX)) _exit(1);
        if (write(ready[1], "", 1) != 1) _exit(2);
        nap(100);
        _exit(0);
    }
    char byte;
    SHOW(read(ready[0], &byte, 1));
    struct flock query = {.l_type = F_RDLCK};
    SHOW(fcntl(fd, F_GETLK, &query)), SHOW(query.l_pid == pid), SHOW(query.l_start), SHOW(query.l_len);
    FAILS(fcntl(fd, F_SETLK, &lock)), FAILS(flock(fd, LOCK_SH | LOCK_NB));
    SHOW(fcntl(fd, F_SETLKW, &lock)), SHOW(flock(fd, LOCK_SH));
    SHOW(status_of(pid));
}

static void limit(void) {
    struct rlimit most = {.rlim_cur = 5000, .rlim_max = RLIM_INFINITY};
    int fd = open("s", O_RDWR | O_CREAT | O_TRUNC, 0644);
    static char zeros[8192];
    pid_t pid = fork();
    if (pid == 0) {
        setrlimit(RLIMIT_FSIZE, &most);
        struct rlimit core = {0, 0};
        setrlimit(RLIMIT_CORE, &core);
        for (int i = 0; i < 10; i++)
            if (write(fd, zeros, sizeof zeros) < 0) _exit(1);
        _exit(0);
    }
    int status = status_of(pid);
    SHOW(WTERMSIG(status)), SHOW(lseek(fd, 0, SEEK_END));
    signal(SIGXFSZ, note);
    if ((pid = fork()) == 0) {
        setrlimit(RLIMIT_FSIZE, &most);
        FAILS(write(fd, zeros, 1)), SHOW(caught), caught = 0;
        FAILS(ftruncate(fd, 5001)), SHOW(caught);
        FAILS(ftruncate(fd, 100));
        exit(0);
    }
    SHOW(status_of(pid));
}

static void sparse(void) {
    int fd = open("sparse", O_RDWR | O_CREAT | O_TRUNC, 0644);
    off_t far = 5L << 30;
    char byte = 1;
    struct stat st;
    SHOW(pwrite(fd, "end", 3, far)), SHOW(fstat(fd, &st)), SHOW(st.st_size), SHOW(st.st_blocks < 1000);
    SHOW(lseek(fd, 0, SEEK_DATA) == far), SHOW(lseek(fd, 0, SEEK_HOLE)), SHOW(lseek(fd, far, SEEK_HOLE) == far + 3);
    SHOW(pread(fd, &byte, 1, far / 2)), SHOW(byte);
    FAILS(lseek(fd, far + 3, SEEK_DATA));
    SHOW(ftruncate(fd, far * 2)), SHOW(pread(fd, &byte, 1, far)), SHOW(byte);

    SHOW(mkdir("many", 0755));
    int dir = open("many", O_RDONLY | O_DIRECTORY), seen = 0, gone = 0;
    char name[32];
    for (int i = 0; i < 3000; i++) sprintf(name, "%d", i), close(openat(dir, name, O_CREAT | O_WRONLY, 0644));
    DIR *list = fdopendir(dir);
    for (struct dirent *e; (e = readdir(list));) {
        if (e->d_name[0] == '.') continue;
        seen++;
        if (!unlinkat(dir, e->d_name, 0)) gone++;
    }
    SHOW(seen), SHOW(gone), SHOW(closedir(list)), FAILS(rmdir("many"));
    int temporary = open(".", O_TMPFILE | O_RDWR, 0600);
    sprintf(name, "/proc/self/fd/%d", temporary);
    SHOW(write(temporary, "kept", 4)), FAILS(linkat(AT_FDCWD, name, AT_FDCWD, "named", AT_SYMLINK_FOLLOW));
    SHOW(stat("named", &st)), SHOW(st.st_nlink), SHOW(st.st_size);
}

int main(void) {
    setvbuf(stdout, NULL, _IOLBF, 0);
    watching();
    mapping();
    locking();
    limit();
    sparse();
    return 0;
}
