/* A disk that fails when told to, for one process: preloaded before libc. The test shares a page with it. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct control {          /* tests/faults/disk_shim.py has the same order */
    int64_t writes;       /* pwrite calls so far */
    int64_t syncs;        /* fsync and fdatasync calls so far */
    int64_t kill_at_step; /* SIGKILL instead of the step (write or sync) of this number; 0: never */
    int64_t tear_write;   /* 1: half of the write that is killed reaches the file */
    int64_t fail_sync_at; /* EIO from the sync of this number; 0: never */
    int64_t room;         /* bytes by which files may still grow; negative: no limit */
};

static struct control *control;

__attribute__((constructor)) static void open_control(void) {
    const char *path = getenv("DISK_SHIM_CONTROL");
    if (!path) return;
    int fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) abort();
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED) abort();
    close(fd);
}

static int is_last_step(void) {
    return control->kill_at_step && control->writes + control->syncs == control->kill_at_step;
}

static int take_room(int fd, off_t end) {
    struct stat found;
    if (control->room < 0 || fstat(fd, &found)) return 1;
    int64_t growth = end > found.st_size ? end - found.st_size : 0;
    if (growth > control->room) return 0;
    control->room -= growth;
    return 1;
}

static void give_room(int64_t bytes) {
    if (control->room >= 0) control->room += bytes;
}

static ssize_t checked_pwrite(int fd, const void *data, size_t size, off_t at) {
    static ssize_t (*real)(int, const void *, size_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "pwrite64");
    if (!control) return real(fd, data, size, at);
    control->writes++;
    if (is_last_step()) {
        if (control->tear_write) real(fd, data, size / 2, at);
        kill(getpid(), SIGKILL);
    }
    if (!take_room(fd, at + size)) {
        errno = ENOSPC;
        return -1;
    }
    return real(fd, data, size, at);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { return checked_pwrite(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off_t at) { return checked_pwrite(fd, data, size, at); }

static int checked_sync(const char *name, int fd) {
    int (*real)(int) = dlsym(RTLD_NEXT, name);
    if (!control) return real(fd);
    control->syncs++;
    if (is_last_step()) kill(getpid(), SIGKILL);
    if (control->fail_sync_at == control->syncs) {
        errno = EIO;
        return -1;
    }
    return real(fd);
}

int fdatasync(int fd) { return checked_sync("fdatasync", fd); }
int fsync(int fd) { return checked_sync("fsync", fd); }

static int checked_fallocate(int fd, off_t at, off_t size) {
    static int (*real)(int, off_t, off_t);
    if (!real) real = dlsym(RTLD_NEXT, "posix_fallocate64");
    if (control && !take_room(fd, at + size)) return ENOSPC;
    return real(fd, at, size);
}

int posix_fallocate(int fd, off_t at, off_t size) { return checked_fallocate(fd, at, size); }
int posix_fallocate64(int fd, off_t at, off_t size) { return checked_fallocate(fd, at, size); }

static int checked_truncate(int fd, off_t size) {
    static int (*real)(int, off_t);
    struct stat found;
    if (!real) real = dlsym(RTLD_NEXT, "ftruncate64");
    if (control && !fstat(fd, &found) && found.st_size > size) give_room(found.st_size - size);
    return real(fd, size);
}

int ftruncate(int fd, off_t size) { return checked_truncate(fd, size); }
int ftruncate64(int fd, off_t size) { return checked_truncate(fd, size); }

int unlink(const char *path) {
    static int (*real)(const char *);
    struct stat found;
    if (!real) real = dlsym(RTLD_NEXT, "unlink");
    if (control && !stat(path, &found) && found.st_nlink == 1) give_room(found.st_size);
    return real(path);
}
