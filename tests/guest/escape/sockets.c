// Sockets of the host: a TCP port, an abstract name, a path. The host listens on all three.
#include "escape.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

int main(int argc, char **argv) {
    begin(argc, argv);
    take_stub_page();
    struct sockaddr_in inet = {.sin_family = AF_INET, .sin_port = htons(host_port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
    for (int type = 1; type < 6; type++) {
        int fd = socket(AF_INET, type, 0);
        if (fd >= 0 && connect(fd, (void *)&inet, sizeof inet) == 0 && type == SOCK_STREAM)
            escaped("TCP to the host");
    }
    struct sockaddr_un local = {.sun_family = AF_UNIX};
    int length = snprintf(local.sun_path + 1, sizeof local.sun_path - 1, "pylitebox-canary-%d", host_pid);
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (void *)&local, sizeof(sa_family_t) + 1 + length) == 0)
        escaped("an abstract socket of the host");
    snprintf(local.sun_path, sizeof local.sun_path, "%s/socket", canary_dir);
    fd = socket(AF_UNIX, SOCK_STREAM, 0);
    if (fd >= 0 && connect(fd, (void *)&local, sizeof local) == 0)
        escaped("a socket file of the host");
    strcpy(local.sun_path, "/escape/socket");
    if (fd >= 0 && connect(fd, (void *)&local, sizeof local) == 0)
        escaped("a socket file in a mount");
    for (int family = 2; family < 48; family++) // AF_ALG, AF_VSOCK, AF_NETLINK, AF_PACKET, ...
        for (int type = 1; type < 6; type++) {
            long r = STUB_RAW(SYS_socket, family, type, 0);
            if (r >= 0 && (family == 38 || family == 40 || family == 17))
                escaped("a socket of family %d", family);
            // The kernel's own, for mq_notify(3): nobody answers what it asks (RTM_GETLINK, a dump of all interfaces).
            unsigned ask[8] = {32, 0x3010012}, to[3] = {AF_NETLINK};
            if (r >= 0 && family == AF_NETLINK &&
                (bind(r, (void *)to, 12) == 0 || sendto(r, ask, 32, 0, (void *)to, 12) >= 0 || write(r, ask, 32) >= 0 ||
                 recv(r, ask, 32, MSG_DONTWAIT) >= 0 || STUB_RAW(SYS_sendto, r, ask, 32, 0, to, 12) >= 0))
                escaped("netlink");
        }
    contained();
}
