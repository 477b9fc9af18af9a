/* What a power cut leaves: after every fsync or fdatasync of a regular file under LASTFSYNC_ROOT the file's content is
 * copied to LASTFSYNC_SHADOW, under its path with '/' written as '%'. Whoever then kills the process can put back, for
 * each file by itself, exactly what was on disk for certain.
 *
 * A copy gets its name by rename, so a kill in the middle of one leaves the copy before it: as if the fsync had not
 * returned. The content is read through the descriptor itself where it can be read: to open a database file a second
 * time and close it would drop SQLite's locks on it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static pthread_mutex_t copying = PTHREAD_MUTEX_INITIALIZER;

static void unlocked(void) { pthread_mutex_init(&copying, NULL); }

/* A child forked while another thread copies would find the lock taken for ever. */
__attribute__((constructor)) static void start(void) { pthread_atfork(NULL, NULL, unlocked); }

static int shadow_name(const char *path, char *out, size_t size) {
    const char *root = getenv("LASTFSYNC_ROOT"), *shadow = getenv("LASTFSYNC_SHADOW");
    if (!root || !shadow || strncmp(path, root, strlen(root)) || path[strlen(root)] != '/') return 0;
    int n = snprintf(out, size, "%s/", shadow);
    for (const char *c = path + strlen(root) + 1; *c && n < (int)size - 1; c++) out[n++] = *c == '/' ? '%' : *c;
    out[n] = 0;
    return 1;
}

static void keep(int fd) {
    char link[64], path[PATH_MAX], name[PATH_MAX], temp[PATH_MAX + 32];
    struct stat status;
    if (fstat(fd, &status) || !S_ISREG(status.st_mode)) return;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return;
    path[length] = 0;
    if (!shadow_name(path, name, sizeof name)) return;
    snprintf(temp, sizeof temp, "%s.%d.part", name, (int)getpid());
    int from = fd, opened = -1;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) == O_WRONLY && (from = opened = open(path, O_RDONLY | O_CLOEXEC)) < 0) return;
    int to = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    static char block[1 << 18];
    off_t offset = 0;
    ssize_t got = 0;
    while (to >= 0 && offset < status.st_size &&
           (got = copy_file_range(from, &offset, to, NULL, (size_t)(status.st_size - offset), 0)) > 0) continue;
    /* where the kernel does not copy by itself */
    while (to >= 0 && offset < status.st_size && (got = pread(from, block, sizeof block, offset)) > 0) {
        if (write(to, block, (size_t)got) != got) abort();
        offset += got;
    }
    if (to >= 0) close(to);
    if (opened >= 0) close(opened);
    if (to >= 0 && got >= 0) rename(temp, name);
}

static int synced(const char *call, int fd) {
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, call);
    int result = real(fd);
    if (result == 0) {
        pthread_mutex_lock(&copying);
        keep(fd);
        pthread_mutex_unlock(&copying);
    }
    return result;
}

int fsync(int fd) { return synced("fsync", fd); }

int fdatasync(int fd) { return synced("fdatasync", fd); }

/* The name moves with what was synced under it; what never was is nothing under its new name too. */
int rename(const char *from, const char *to) {
    static int (*real)(const char *, const char *);
    if (!real) real = (int (*)(const char *, const char *))dlsym(RTLD_NEXT, "rename");
    int result = real(from, to);
    char a[PATH_MAX], b[PATH_MAX], full_from[PATH_MAX], full_to[PATH_MAX], folder[PATH_MAX];
    if (result || !getcwd(folder, sizeof folder)) return result;
    snprintf(full_from, sizeof full_from, "%s%s%s", *from == '/' ? "" : folder, *from == '/' ? "" : "/", from);
    snprintf(full_to, sizeof full_to, "%s%s%s", *to == '/' ? "" : folder, *to == '/' ? "" : "/", to);
    if (shadow_name(full_from, a, sizeof a) && shadow_name(full_to, b, sizeof b) && real(a, b)) unlink(b);
    return result;
}

int unlink(const char *path) {
    static int (*real)(const char *);
    if (!real) real = (int (*)(const char *))dlsym(RTLD_NEXT, "unlink");
    char name[PATH_MAX], full[PATH_MAX], folder[PATH_MAX];
    int result = real(path);
    if (result || !getcwd(folder, sizeof folder)) return result;
    snprintf(full, sizeof full, "%s%s%s", *path == '/' ? "" : folder, *path == '/' ? "" : "/", path);
    if (shadow_name(full, name, sizeof name)) real(name);
    return result;
}
