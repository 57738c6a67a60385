/* A disk that fails when it is told to: preloaded into the server by the tests in disk.rs. The first
 * byte of the file that FAULTS names says how; only files of the database are concerned.
 *   f  full: nothing can be written       r  read-only: neither written nor opened for writing
 *   s  nothing can be synced              i  nothing can be written, synced or read
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <unistd.h>

static char mode(void) {
    const char *path = getenv("FAULTS");
    char mode = 0;
    long fd = path ? syscall(SYS_openat, AT_FDCWD, path, O_RDONLY | O_CLOEXEC, 0) : -1;
    if (fd < 0) return 0;
    if (syscall(SYS_read, fd, &mode, 1) != 1) mode = 0;
    syscall(SYS_close, fd);
    return mode;
}

static int is_database(const char *path) { return strstr(path, "rly.sqlite") != NULL; }

static int of_database(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t n = readlink(link, path, sizeof path - 1);
    if (n < 0) return 0;
    path[n] = 0;
    return is_database(path);
}

/* The error with which an operation (w: write, s: sync, r: read) on this file fails; 0: it does not. */
static int fails(int fd, char operation) {
    int saved = errno, error = 0;
    switch (mode()) {
    case 'f': error = operation == 'w' ? ENOSPC : 0; break;
    case 'r': error = operation == 'w' ? EROFS : 0; break;
    case 's': error = operation == 's' ? EIO : 0; break;
    case 'i': error = EIO; break;
    }
    if (error && !of_database(fd)) error = 0;
    errno = saved;
    return error;
}

#define WRAP(operation, type, name, parameters, arguments)                                   \
    type name parameters {                                                                    \
        static type(*real) parameters;                                                        \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
        int error = fails(fd, operation);                                                     \
        if (error) {                                                                          \
            errno = error;                                                                    \
            return -1;                                                                        \
        }                                                                                     \
        return real arguments;                                                                \
    }

WRAP('w', ssize_t, write, (int fd, const void *from, size_t n), (fd, from, n))
WRAP('w', ssize_t, pwrite, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
WRAP('w', ssize_t, pwrite64, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
WRAP('w', int, ftruncate, (int fd, off_t to), (fd, to))
WRAP('w', int, ftruncate64, (int fd, off64_t to), (fd, to))
WRAP('w', int, fallocate, (int fd, int how, off_t at, off_t n), (fd, how, at, n))
WRAP('s', int, fsync, (int fd), (fd))
WRAP('s', int, fdatasync, (int fd), (fd))
WRAP('r', ssize_t, read, (int fd, void *to, size_t n), (fd, to, n))
WRAP('r', ssize_t, pread, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
WRAP('r', ssize_t, pread64, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))

#define WRAP_OPEN(name)                                                                       \
    int name(const char *path, int flags, ...) {                                              \
        static int (*real)(const char *, int, ...);                                           \
        if (!real) *(void **)&real = dlsym(RTLD_NEXT, #name);                                 \
        mode_t created = 0;                                                                   \
        if (flags & (O_CREAT | O_TMPFILE)) {                                                  \
            va_list rest;                                                                     \
            va_start(rest, flags);                                                            \
            created = va_arg(rest, mode_t);                                                   \
            va_end(rest);                                                                     \
        }                                                                                     \
        if ((flags & (O_WRONLY | O_RDWR)) && is_database(path) && mode() == 'r') {            \
            errno = EROFS;                                                                    \
            return -1;                                                                        \
        }                                                                                     \
        return real(path, flags, created);                                                    \
    }

WRAP_OPEN(open)
WRAP_OPEN(open64)
