/*
 * A client that drops bodies in the kernel: recv with MSG_TRUNC copies nothing, so that what it costs doesn't hide the server.
 *
 *   drain HOST PORT CONNECTIONS TIMES BYTES_PER_SECOND PATH [HEADER]...
 *
 * Each connection asks TIMES times, one after the other; 0 bytes per second: no limit. A line per answer:
 * STATUS BYTES FIRST_BYTE_MS END_MS, from the program's start; STATUS 0: the connection failed. For Linux, HTTP/1.1 with Content-Length.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

struct connection {
  int fd;
  int left;          /* requests */
  int status;        /* 0: the head has not come */
  long long length;  /* of the body; -1: not known, so until the end */
  long long got;
  double asked_ms, first_ms;
};

static char request[16384];
static size_t request_size;
static struct sockaddr_in address;
static double started;

static double now_ms(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6 - started;
}

static void ask(struct connection *c) {
  c->status = 0;
  c->got = 0;
  c->length = -1;
  c->asked_ms = now_ms();
  c->first_ms = 0;
  if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) c->left = -1;
}

static void dial(struct connection *c) {
  int one = 1;
  c->fd = socket(AF_INET, SOCK_STREAM, 0);
  if (connect(c->fd, (struct sockaddr *)&address, sizeof address) != 0) {
    printf("0 0 0 %.3f\n", now_ms());
    c->left = 0;
    return;
  }
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  ask(c);
}

static void end_answer(struct connection *c, int whole) {
  printf("%d %lld %.3f %.3f\n", c->status, c->got, c->first_ms, now_ms());
  c->left -= 1;
  if (whole && c->left > 0) {
    ask(c);
    return;
  }
  close(c->fd);
  c->fd = -1;
  if (c->left > 0) dial(c);
}

/* 1: the head is read. 0: it has not come. -1: the connection ended. */
static int read_head(struct connection *c) {
  static char head[65536];
  ssize_t count = recv(c->fd, head, sizeof head - 1, MSG_PEEK | MSG_DONTWAIT);
  if (count == 0 || (count < 0 && errno != EAGAIN)) return -1;
  if (count < 0) return 0;
  head[count] = 0;
  char *end = memmem(head, count, "\r\n\r\n", 4);
  if (end == NULL) return 0;
  size_t size = end + 4 - head;
  recv(c->fd, head, size, 0);
  head[size] = 0;
  c->status = atoi(head + 9);
  char *length = strcasestr(head, "\r\ncontent-length:");
  if (length != NULL) c->length = atoll(length + 17);
  return 1;
}

/* Reads what there is. Ends the answer when it is whole or cut. */
static void drain(struct connection *c, long long rate) {
  static char nowhere[64];
  while (c->fd >= 0) {
    if (c->status == 0) {
      int found = read_head(c);
      if (found < 0) end_answer(c, 0);
      if (found <= 0) return;
    }
    if (c->length >= 0 && c->got >= c->length) {
      end_answer(c, 1);
      return;
    }
    long long want = c->length >= 0 ? c->length - c->got : 1 << 20;
    if (want > 1 << 20) want = 1 << 20;
    if (rate > 0) {
      long long allowed = (long long)((now_ms() - c->asked_ms) * rate / 1e3) - c->got;
      if (allowed <= 0) return;
      if (want > allowed) want = allowed;
    }
    ssize_t count = recv(c->fd, nowhere, want, MSG_TRUNC | MSG_DONTWAIT);
    if (count < 0 && errno == EAGAIN) return;
    if (count <= 0) {
      end_answer(c, 0);
      return;
    }
    if (c->got == 0) c->first_ms = now_ms();
    c->got += count;
  }
}

int main(int argc, char **argv) {
  if (argc < 7) {
    fprintf(stderr, "drain HOST PORT CONNECTIONS TIMES BYTES_PER_SECOND PATH [HEADER]...\n");
    return 2;
  }
  int count = atoi(argv[3]);
  long long rate = atoll(argv[5]);
  request_size = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: %s:%s\r\n", argv[6], argv[1], argv[2]);
  for (int at = 7; at < argc; at++)
    request_size += snprintf(request + request_size, sizeof request - request_size, "%s\r\n", argv[at]);
  request_size += snprintf(request + request_size, sizeof request - request_size, "\r\n");
  address.sin_family = AF_INET;
  address.sin_port = htons(atoi(argv[2]));
  if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1) return 2;
  started = now_ms();

  struct connection *all = calloc(count, sizeof *all);
  struct pollfd *polls = calloc(count, sizeof *polls);
  for (int at = 0; at < count; at++) {
    all[at].left = atoi(argv[4]);
    dial(&all[at]);
  }
  for (;;) {
    int open = 0;
    for (int at = 0; at < count; at++) {
      struct connection *c = &all[at];
      int waits = rate > 0 && c->status != 0 && (now_ms() - c->asked_ms) * rate / 1e3 <= c->got;
      polls[at].fd = c->left > 0 && !waits ? c->fd : -1;
      polls[at].events = POLLIN;
      open += c->left > 0;
    }
    if (open == 0) break;
    if (poll(polls, count, rate > 0 ? 20 : -1) < 0 && errno != EINTR) return 1;
    for (int at = 0; at < count; at++)
      if (polls[at].fd >= 0 && polls[at].revents != 0) drain(&all[at], rate);
  }
  return 0;
}
