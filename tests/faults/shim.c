/* Loaded into a process before everything else: its disk can be full, read-only, broken or slow, and its clock wrong, as a control file says.
   Only files below SHIM_DIR are touched. The control file is mapped, so a change is seen by the next call. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <threads.h>
#include <time.h>
#include <unistd.h>

enum { WELL, FULL, READ_ONLY, BROKEN, SLOW };

struct control {
  int32_t mode;
  int32_t slow_us;
  int64_t clock_ns;
};

static struct control none;
static struct control *control = NULL;
static pid_t control_of = 0;
static char folder[PATH_MAX];
static __thread int inside = 0;

#define REAL(name, type) ({ static __typeof__(type) real; if (!real) real = (type)dlsym(RTLD_NEXT, #name); real; })

/* A forked process gets its environment after it begins: the variable is looked for until it is there. */
static struct control *asked(void) {
  if (control && control_of == getpid()) return control;
  if (inside) return &none;
  const char *file = getenv("SHIM_CONTROL"), *below = getenv("SHIM_DIR");
  if (!file || !below) return &none;
  inside = 1;
  int fd = REAL(open, int (*)(const char *, int, ...))(file, O_RDONLY | O_CLOEXEC);
  void *place = fd < 0 ? MAP_FAILED : mmap(NULL, sizeof(struct control), PROT_READ, MAP_SHARED, fd, 0);
  if (fd >= 0) close(fd);
  inside = 0;
  if (place == MAP_FAILED) return &none;
  snprintf(folder, sizeof folder, "%s", below);
  control = place;
  control_of = getpid();
  return control;
}

static int below(const char *path) {
  return path && strncmp(path, folder, strlen(folder)) == 0;
}

static int ours(int fd) {
  char link[64], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t size = readlink(link, path, sizeof path - 1);
  if (size <= 0) return 0;
  path[size] = 0;
  return below(path);
}

static void slow(struct control *c) {
  struct timespec t = {c->slow_us / 1000000, (long)(c->slow_us % 1000000) * 1000};
  nanosleep(&t, NULL);
}

/* The error of a writing call; 0 if it may go on. */
static int writing(struct control *c, int grows) {
  switch (c->mode) {
    case FULL: return grows ? ENOSPC : 0;
    case READ_ONLY: return EROFS;
    case BROKEN: return EIO;
    case SLOW: slow(c); return 0;
    default: return 0;
  }
}

#define ON_FD(fd, grows, result)                                        \
  struct control *c = asked();                                          \
  if (c->mode && ours(fd)) {                                            \
    int error = writing(c, grows);                                      \
    if (error) { errno = error; return result; }                        \
  }
#define ON_PATH(path, grows)                                            \
  struct control *c = asked();                                          \
  if (c->mode && below(path)) {                                         \
    int error = writing(c, grows);                                      \
    if (error) { errno = error; return -1; }                            \
  }

ssize_t write(int fd, const void *data, size_t size) { ON_FD(fd, 1, -1) return REAL(write, ssize_t(*)(int, const void *, size_t))(fd, data, size); }
ssize_t writev(int fd, const struct iovec *v, int n) { ON_FD(fd, 1, -1) return REAL(writev, ssize_t(*)(int, const struct iovec *, int))(fd, v, n); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { ON_FD(fd, 1, -1) return REAL(pwrite, ssize_t(*)(int, const void *, size_t, off_t))(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) { ON_FD(fd, 1, -1) return REAL(pwrite64, ssize_t(*)(int, const void *, size_t, off64_t))(fd, data, size, at); }
int ftruncate(int fd, off_t size) { ON_FD(fd, 1, -1) return REAL(ftruncate, int (*)(int, off_t))(fd, size); }
int ftruncate64(int fd, off64_t size) { ON_FD(fd, 1, -1) return REAL(ftruncate64, int (*)(int, off64_t))(fd, size); }
int fallocate(int fd, int how, off_t at, off_t size) { ON_FD(fd, 1, -1) return REAL(fallocate, int (*)(int, int, off_t, off_t))(fd, how, at, size); }
int fallocate64(int fd, int how, off64_t at, off64_t size) { ON_FD(fd, 1, -1) return REAL(fallocate64, int (*)(int, int, off64_t, off64_t))(fd, how, at, size); }
int fsync(int fd) { ON_FD(fd, 0, -1) return REAL(fsync, int (*)(int))(fd); }
int fdatasync(int fd) { ON_FD(fd, 0, -1) return REAL(fdatasync, int (*)(int))(fd); }
int mkdir(const char *path, mode_t mode) { ON_PATH(path, 1) return REAL(mkdir, int (*)(const char *, mode_t))(path, mode); }
int unlink(const char *path) { ON_PATH(path, 0) return REAL(unlink, int (*)(const char *))(path); }
int rename(const char *from, const char *to) { ON_PATH(to, 0) return REAL(rename, int (*)(const char *, const char *))(from, to); }

#define OPENS(name)                                                     \
  int name(const char *path, int flags, ...) {                          \
    mode_t mode = 0;                                                    \
    if (flags & (O_CREAT | __O_TMPFILE)) {                              \
      va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); \
    }                                                                   \
    if (flags & (O_CREAT | O_WRONLY | O_RDWR)) {                        \
      ON_PATH(path, flags & O_CREAT)                                    \
    }                                                                   \
    return REAL(name, int (*)(const char *, int, ...))(path, flags, mode); \
  }
OPENS(open)
OPENS(open64)

ssize_t pread(int fd, void *data, size_t size, off_t at) {
  struct control *c = asked();
  if ((c->mode == BROKEN || c->mode == SLOW) && ours(fd)) {
    if (c->mode == BROKEN) { errno = EIO; return -1; }
    slow(c);
  }
  return REAL(pread, ssize_t(*)(int, void *, size_t, off_t))(fd, data, size, at);
}
ssize_t pread64(int fd, void *data, size_t size, off64_t at) {
  struct control *c = asked();
  if ((c->mode == BROKEN || c->mode == SLOW) && ours(fd)) {
    if (c->mode == BROKEN) { errno = EIO; return -1; }
    slow(c);
  }
  return REAL(pread64, ssize_t(*)(int, void *, size_t, off64_t))(fd, data, size, at);
}

static void shift(struct timespec *t, int64_t ns) {
  int64_t all = (int64_t)t->tv_sec * 1000000000 + t->tv_nsec + ns;
  t->tv_sec = all / 1000000000;
  t->tv_nsec = all % 1000000000;
}

int clock_gettime(clockid_t clock, struct timespec *t) {
  int result = REAL(clock_gettime, int (*)(clockid_t, struct timespec *))(clock, t);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
    struct control *c = asked();
    if (c->clock_ns) shift(t, c->clock_ns);
  }
  return result;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  t->tv_sec = now.tv_sec;
  t->tv_usec = now.tv_nsec / 1000;
  return 0;
}

time_t time(time_t *place) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (place) *place = now.tv_sec;
  return now.tv_sec;
}

/* Who waits until a point of the wrong clock waits as long as he would by a right one. The monotonic clock is far below a billion seconds. */
static struct timespec by_right_clock(const struct timespec *until) {
  struct control *c = asked();
  struct timespec t = *until;
  if (c->clock_ns && t.tv_sec > 1000000000) shift(&t, -c->clock_ns);
  return t;
}

int pthread_cond_timedwait(pthread_cond_t *restrict cond, pthread_mutex_t *restrict mutex, const struct timespec *restrict until) {
  struct timespec t = by_right_clock(until);
  static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
  if (!real) real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
  if (!real) real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
  return real(cond, mutex, &t);
}

/* librdkafka waits by this one. */
int cnd_timedwait(cnd_t *restrict cond, mtx_t *restrict mutex, const struct timespec *restrict until) {
  struct timespec t = by_right_clock(until);
  return REAL(cnd_timedwait, int (*)(cnd_t *, mtx_t *, const struct timespec *))(cond, mutex, &t);
}
