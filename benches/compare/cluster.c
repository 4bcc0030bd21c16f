/* An upstream that answers as a cluster does, for the mixed traffic: below cluster.local only
 * NAME.NAMESPACE.svc.cluster.local exists, and has an A record but no AAAA; every other name has both.
 *
 *     cluster PORT          UDP on 127.0.0.1 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { BATCH = 64, SIZE = 2048, ROOM = 128 };

/* The owner is a pointer to the question; TTL 300. */
static const unsigned char a[] = {0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 44, 0, 4, 10, 0, 0, 1};
static const unsigned char aaaa[] = {0xc0, 12, 0, 28, 0, 1, 0, 0, 1, 44, 0, 16, 0xfd, 0, 0, 0, 0, 0, 0, 0,
                                     0, 0, 0, 0, 0, 0, 0, 1};
/* cluster.local SOA cluster.local cluster.local 1 60 60 60 30, TTL 30, with pointers to PARENT. */
static const unsigned char soa[] = {0xc0, 0, 0, 6, 0, 1, 0, 0, 0, 30, 0, 24, 0xc0, 0, 0xc0, 0, 0, 0, 0, 1,
                                    0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0, 60, 0, 0, 0, 30};

/* Turns the question into its reply and says how long that is; 0 is none. */
static int reply(unsigned char *packet, int length) {
    int label[128], labels = 0, end = 12;
    while (end < length && packet[end] && packet[end] < 64 && labels < 127) {
        label[labels++] = end;
        end += packet[end] + 1;
    }
    if (end + 5 > length || packet[end] || end + 5 + ROOM > SIZE) return 0;
    int six = packet[end + 2] == 28;
    int inside = labels >= 2 && !strncasecmp((char *)packet + label[labels - 2], "\7cluster\5local", 14);
    int exists = !inside || (labels == 5 && !strncasecmp((char *)packet + label[2], "\3svc", 4));
    int answers = exists && !(inside && six);
    packet[2] |= 0x80;
    packet[3] = 0x80 | (exists ? 0 : 3);
    memset(packet + 6, 0, 6);
    packet[answers ? 7 : 9] = 1;
    end += 5;
    const unsigned char *record = answers ? (six ? aaaa : a) : soa;
    int size = answers ? (six ? sizeof aaaa : sizeof a) : sizeof soa;
    memcpy(packet + end, record, size);
    if (!answers) packet[end + 1] = packet[end + 13] = packet[end + 15] = label[labels - 2];
    return end + size;
}

int main(int count, char **argument) {
    if (count != 2) {
        fprintf(stderr, "usage: cluster PORT\n");
        return 2;
    }
    int s = socket(AF_INET, SOCK_DGRAM, 0), room = 4 << 20;
    setsockopt(s, SOL_SOCKET, SO_RCVBUF, &room, sizeof room);
    struct sockaddr_in self = {.sin_family = AF_INET, .sin_port = htons(atoi(argument[1]))};
    inet_pton(AF_INET, "127.0.0.1", &self.sin_addr);
    if (bind(s, (void *)&self, sizeof self)) {
        perror("bind");
        return 1;
    }
    static unsigned char packet[BATCH][SIZE];
    static struct mmsghdr message[BATCH];
    static struct iovec part[BATCH];
    static struct sockaddr_in peer[BATCH];
    for (;;) {
        for (int i = 0; i < BATCH; i++) {
            part[i] = (struct iovec){packet[i], SIZE};
            message[i].msg_hdr = (struct msghdr){
                .msg_iov = &part[i], .msg_iovlen = 1, .msg_name = &peer[i], .msg_namelen = sizeof peer[i]};
        }
        int got = recvmmsg(s, message, BATCH, MSG_WAITFORONE, 0), kept = 0;
        for (int i = 0; i < got; i++) {
            part[i].iov_len = reply(packet[i], message[i].msg_len);
            if (part[i].iov_len) message[kept++].msg_hdr = message[i].msg_hdr;
        }
        for (int sent = 0, now; sent < kept; sent += now)
            if ((now = sendmmsg(s, message + sent, kept - sent, 0)) <= 0) break;
    }
}
