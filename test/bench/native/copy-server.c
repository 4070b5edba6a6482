/*
 * The floor of two copies: a server that answers every request with one file, by pread into one buffer of 512 KiB and write, in a
 * process per connection. What a server that copies can't get below.
 *
 *   copy-server PORT FILE
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_all(int fd, const char *bytes, size_t size) {
  while (size > 0) {
    ssize_t count = write(fd, bytes, size);
    if (count <= 0) return -1;
    bytes += count;
    size -= count;
  }
  return 0;
}

static void serve(int connection, int file, long long size) {
  static char buffer[512 * 1024];
  static char request[8192];
  size_t have = 0;
  for (;;) {
    ssize_t count = read(connection, request + have, sizeof request - have);
    if (count <= 0) return;
    have += count;
    if (have < 4 || memcmp(request + have - 4, "\r\n\r\n", 4) != 0) continue;
    have = 0;
    int head = snprintf(buffer, sizeof buffer, "HTTP/1.1 200 OK\r\nContent-Length: %lld\r\n\r\n", size);
    if (write_all(connection, buffer, head) != 0) return;
    for (long long at = 0; at < size;) {
      ssize_t got = pread(file, buffer, sizeof buffer, at);
      if (got <= 0 || write_all(connection, buffer, got) != 0) return;
      at += got;
    }
  }
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(argv[1]))};
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  int one = 1, file = open(argv[2], O_RDONLY), listener = socket(AF_INET, SOCK_STREAM, 0);
  struct stat found;
  setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (file < 0 || fstat(file, &found) != 0 || bind(listener, (struct sockaddr *)&address, sizeof address) != 0) return 1;
  listen(listener, 128);
  /* Nothing waits for children: they stay in /proc with what they have used. */
  signal(SIGPIPE, SIG_IGN);
  for (;;) {
    int connection = accept(listener, NULL, NULL);
    if (connection < 0) continue;
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (fork() == 0) {
      close(listener);
      serve(connection, file, found.st_size);
      _exit(0);
    }
    close(connection);
  }
}
