// Controlling terminals and job control: sessions, groups in the foreground and background, hang-ups, waiting reads.
#include "check.h"
#include <poll.h>
#include <pty.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <utmp.h>

static int master, slave;
static volatile sig_atomic_t seen[65];
static void note(int signo) { seen[signo]++; }

static void handle(int signo, int flags) {
    struct sigaction action = {.sa_handler = note, .sa_flags = flags};
    sigaction(signo, &action, 0);
}

static pid_t start(void (*child)(void)) {
    fflush(stdout);
    pid_t pid = fork();
    if (!pid) {
        child();
        fflush(stdout);
        _exit(0);
    }
    return pid;
}

static void stopped(const char *what, pid_t pid) {
    int status = -1;
    waitpid(pid, &status, WUNTRACED);
    show_status(what, status);
}

static void type(const char *text) { write(master, text, strlen(text)); }

static const char *answer(void) {
    static char text[4096];
    struct pollfd p = {master, POLLIN, 0};
    size_t n = 0;
    while (n < sizeof text - 1 && poll(&p, 1, n ? 50 : 2000) == 1 && p.revents & POLLIN) {
        ssize_t r = read(master, text + n, sizeof text - 1 - n);
        if (r <= 0) break;
        n += r;
    }
    text[n] = 0;
    return text;
}

// -- a session of its own: what the child of each scene has as its terminal

static void own_group(void) { setpgid(0, 0); }
static void foreground(void) {
    signal(SIGTTOU, SIG_IGN);
    tcsetpgrp(0, getpgrp());
    signal(SIGTTOU, SIG_DFL);
}

static void reader(void) {
    own_group();
    char c[9];
    FAILS(read(0, c, 9));
}
static void reader_ignoring(void) {
    own_group();
    signal(SIGTTIN, SIG_IGN);
    char c[9];
    FAILS(read(0, c, 9));
}
static void reader_handling(void) {
    own_group();
    handle(SIGTTIN, 0);
    char c[9];
    FAILS(read(0, c, 9));
    SHOW(seen[SIGTTIN]);
}
static void writer(void) {
    own_group();
    FAILS(write(0, "background\n", 11));
}
static void setter(void) {
    own_group();
    struct termios t;
    FAILS(tcgetattr(0, &t));
    FAILS(tcsetattr(0, TCSADRAIN, &t));
}
static void taker(void) {
    own_group();
    FAILS(tcsetpgrp(0, getpgrp()));
}
static void orphan_reader(void) {
    own_group();
    fflush(stdout);
    if (fork()) _exit(0);
    own_group();
    nap(50);
    char c[9];
    FAILS(read(0, c, 9));
    FAILS(tcsetpgrp(0, getpgrp()));
}
static void sleeper(void) {
    own_group();
    foreground();
    write(0, "ready\n", 6);
    for (;;) pause();
}
static void outsider(void) {
    setsid();
    FAILS(open("/dev/tty", O_RDWR));
    FAILS(tcgetpgrp(0));
    FAILS(ioctl(0, TIOCSCTTY, 0));
    char c[9];
    FAILS(write(0, "from outside\n", 13));
    fcntl(0, F_SETFL, O_NONBLOCK);
    FAILS(read(0, c, 9));
    fcntl(0, F_SETFL, 0);
}
static void quitter(void) {
    FAILS(ioctl(0, TIOCNOTTY));
    FAILS(open("/dev/tty", O_RDWR));
    FAILS(ioctl(0, TIOCNOTTY));
}

static void session(void) {
    close(master);
    FAILS(open("/dev/tty", O_RDWR));
    FAILS(setsid() == getpid());
    FAILS(ioctl(slave, TIOCSCTTY, 0));
    FAILS(ioctl(slave, TIOCSCTTY, 0));
    SHOW(tcgetpgrp(slave) == getpid());
    SHOW(tcgetsid(slave) == getpid());
    dup2(slave, 0);
    close(slave);
    int tty = open("/dev/tty", O_RDWR);
    SHOW(tty >= 0);
    printf("%s %s\n", ttyname(tty), strncmp(ttyname(0), "/dev/pts/", 9) ? "?" : "a slave");
    struct stat s;
    fstat(tty, &s);
    SHOW(s.st_rdev);
    close(tty);
    FAILS(tcsetpgrp(0, -1));
    FAILS(tcsetpgrp(0, 1));
    FAILS(tcsetpgrp(0, 999999));

    pid_t pid = start(reader);
    stopped("reads", pid);
    FAILS(tcsetpgrp(0, pid));
    kill(pid, SIGCONT);
    nap(50);
    write(1, "", 0);
    puts("(continued in the foreground)");
    fflush(stdout);
    kill(getppid(), SIGUSR1); // types a line
    show_status("read", status_of(pid));
    foreground();
    show_status("ignores SIGTTIN", status_of(start(reader_ignoring)));
    show_status("handles SIGTTIN", status_of(start(reader_handling)));
    show_status("writes", status_of(start(writer)));
    struct termios t;
    tcgetattr(0, &t);
    t.c_lflag |= TOSTOP;
    tcsetattr(0, TCSANOW, &t);
    pid = start(writer);
    stopped("writes with TOSTOP", pid);
    kill(pid, SIGKILL);
    status_of(pid);
    t.c_lflag &= ~TOSTOP;
    tcsetattr(0, TCSANOW, &t);
    pid = start(setter);
    stopped("sets", pid);
    tcsetpgrp(0, pid);
    kill(pid, SIGCONT);
    show_status("set", status_of(pid));
    foreground();
    pid = start(taker);
    stopped("takes", pid);
    kill(pid, SIGKILL);
    status_of(pid);
    int ends[2];
    pipe(ends);
    status_of(start(orphan_reader));
    close(ends[1]);
    read(ends[0], ends + 1, 4); // until the orphan has ended too
    close(ends[0]);
    show_status("outside", status_of(start(outsider)));
    show_status("gave up", status_of(start(quitter)));
    int signals[] = {SIGINT, SIGQUIT, SIGTSTP, SIGWINCH};
    for (int i = 0; i < 4; i++) {
        pid = start(sleeper);
        if (signals[i] == SIGWINCH) {
            nap(100);
            struct winsize w = {25 + i, 80, 0, 0};
            handle(SIGWINCH, SA_RESTART);
            FAILS(ioctl(0, TIOCSWINSZ, &w));
            nap(20);
            SHOW(seen[SIGWINCH]);
            foreground();
            w.ws_col++;
            FAILS(ioctl(0, TIOCSWINSZ, &w));
            SHOW(seen[SIGWINCH]);
            kill(pid, SIGKILL);
            status_of(pid);
            break;
        }
        kill(getppid(), SIGUSR2); // waits for "ready", then types the next key
        stopped("key", pid);
        kill(pid, SIGKILL);
        if (signals[i] == SIGTSTP) status_of(pid);
        foreground();
    }
    puts("the session ends");
    fflush(stdout);
    pid = start(sleeper); // in the foreground: is hung up with us
    nap(100);
}

// -- reads that wait

static void *later(void *text) {
    nap(100);
    type(text);
    nap(100);
    type("z");
    return 0;
}

static long ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static void timed(const char *what, int least, int tenths, char *text) {
    struct termios t;
    tcgetattr(slave, &t);
    cfmakeraw(&t);
    t.c_cc[VMIN] = least, t.c_cc[VTIME] = tenths;
    tcsetattr(slave, TCSAFLUSH, &t);
    pthread_t thread;
    if (text) pthread_create(&thread, 0, later, text);
    long begin = ms();
    char c[99];
    ssize_t r = read(slave, c, sizeof c);
    long took = ms() - begin;
    printf("%s: %ld, after %s\n", what, (long)r, took < 60 ? "nothing" : "a while");
    if (text) pthread_join(thread, 0);
    nap(50); // what was typed last arrives in its own time, and is flushed by the next
}

static void interrupted_by(int flags) {
    handle(SIGALRM, flags);
    struct itimerval timer = {{0, 0}, {0, 50000}};
    setitimer(ITIMER_REAL, &timer, 0);
    pthread_t thread;
    pthread_create(&thread, 0, later, "ab");
    char c[9];
    // ours, not the typist's
    FAILS(read(slave, c, 9) > 0);
    pthread_join(thread, 0);
}

static void waiting(void) {
    openpty(&master, &slave, 0, 0, 0);
    timed("MIN 1 TIME 0", 1, 0, "ab");
    timed("MIN 3 TIME 0", 3, 0, "ab");
    timed("MIN 0 TIME 0", 0, 0, 0);
    timed("MIN 0 TIME 1", 0, 1, 0);
    timed("MIN 0 TIME 20", 0, 20, "ab");
    timed("MIN 2 TIME 20", 2, 20, "ab");
    timed("MIN 9 TIME 8", 9, 8, "ab");
    struct termios t;
    tcgetattr(slave, &t);
    t.c_cc[VMIN] = 1, t.c_cc[VTIME] = 0;
    tcsetattr(slave, TCSAFLUSH, &t);
    interrupted_by(SA_RESTART);
    close(slave);
    char c[9];
    FAILS(read(master, c, 9));
    close(master);
}

// -- the master goes

static void left_alone(void) {
    handle(SIGHUP, SA_RESTART);
    handle(SIGCONT, SA_RESTART);
    close(master);
    char c[9];
    login_tty(slave);
    FAILS(write(1, "up\n", 3));
    dup2(9, 1);
    FAILS(read(0, c, 9));
    SHOW(seen[SIGHUP]);
    SHOW(seen[SIGCONT]);
    FAILS(read(0, c, 9));
    FAILS(write(0, "x", 1));
    FAILS(tcgetpgrp(0));
    FAILS(open("/dev/tty", O_RDWR));
}

static volatile sig_atomic_t wanted_line, wanted_key;
static void line(int signo) { wanted_line = signo; }
static void key(int signo) { wanted_key = signo; }

int main(void) {
    setvbuf(stdout, 0, _IOFBF, 1 << 16);
    openpty(&master, &slave, 0, 0, 0);
    handle(SIGHUP, 0);
    signal(SIGHUP, SIG_DFL);
    struct sigaction action = {.sa_handler = line};
    sigaction(SIGUSR1, &action, 0);
    action.sa_handler = key;
    sigaction(SIGUSR2, &action, 0);
    pid_t pid = start(session);
    const char *keys = "\x03\x1c\x1a";
    for (int status = 0;;) {
        if (waitpid(pid, &status, WNOHANG) == pid) {
            show_status("session", status);
            break;
        }
        if (wanted_line) {
            wanted_line = 0;
            type("line\n");
        }
        if (wanted_key) {
            wanted_key = 0;
            while (!strstr(answer(), "ready")) {}
            write(master, keys++, 1);
        }
        nap(5);
    }
    close(slave);
    close(master);

    waiting();

    openpty(&master, &slave, 0, 0, 0);
    dup2(1, 9);
    pid = start(left_alone);
    close(slave);
    printf("%s", strstr(answer(), "up") ? "it is up\n" : "?\n");
    nap(50);
    close(master);
    show_status("left alone", status_of(pid));
    return 0;
}
