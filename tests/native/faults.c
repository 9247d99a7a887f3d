/* Preloaded into a process, does harm to it at a chosen moment: the n-th time that it touches a chosen file.
 *
 * What is done is told in NPRNN_FAULT, fields between semicolons:
 *
 *     root;log;token;kind;path;nth;shift
 *
 * root   only what lies under this folder is looked at; names are told relative to it, half-written files and folders
 *        (.NAME.random) under the name that they will have
 * log    every touch is appended here as "process verb name", for whoever wants to know which there are
 * token  made when the harm is done, so that it is done once for all processes
 * kind   none, kill, term, int, full (nothing can be written from then on), readonly (nor made, renamed, removed), clock (the
 *        wall clock jumps by shift seconds)
 * path   the name; nth counts its touches within a process, from 1
 *
 * The environment carries it into processes that are started later; faults_arm serves one that was forked.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum kind { NONE, KILL, TERM, INT, FULL, READONLY, CLOCK };
static const char *const KINDS[] = {"none", "kill", "term", "int", "full", "readonly", "clock"};

static struct {
    int armed;
    char root[PATH_MAX], log[PATH_MAX], token[PATH_MAX], path[PATH_MAX];
    enum kind kind;
    long nth, shift;
} plan;
static atomic_long touched;
static int fired_here;
/* The names of what is open for writing. */
#define DESCRIPTORS 4096
static char *open_names[DESCRIPTORS];

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

static void copy_field(char *to, const char **from) {
    size_t length = strcspn(*from, ";");
    size_t kept = length < PATH_MAX - 1 ? length : PATH_MAX - 1;
    memcpy(to, *from, kept);
    to[kept] = 0;
    *from += length + ((*from)[length] == ';');
}

void faults_arm(const char *text) {
    char word[PATH_MAX];
    memset(&plan, 0, sizeof plan);
    touched = 0;
    fired_here = 0;
    if (!text || !*text) return;
    copy_field(plan.root, &text);
    copy_field(plan.log, &text);
    copy_field(plan.token, &text);
    copy_field(word, &text);
    for (int k = NONE; k <= CLOCK; k++)
        if (!strcmp(word, KINDS[k])) plan.kind = (enum kind)k;
    copy_field(plan.path, &text);
    copy_field(word, &text);
    plan.nth = atol(word);
    copy_field(word, &text);
    plan.shift = atol(word);
    plan.armed = 1;
}

__attribute__((constructor)) static void begin(void) { faults_arm(getenv("NPRNN_FAULT")); }

/* The name relative to the root, of which a half-written file has the one that it will have; 0 for what is elsewhere. */
static int named(int folder, const char *path, char *out) {
    char whole[2 * PATH_MAX];
    if (!plan.armed || !path) return 0;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char at[PATH_MAX], link[64];
        long length;
        if (folder == AT_FDCWD) {
            length = syscall(SYS_getcwd, at, sizeof at) > 0 ? (long)strlen(at) : -1;
        } else {
            snprintf(link, sizeof link, "/proc/self/fd/%d", folder);
            length = readlink(link, at, sizeof at - 1);
        }
        if (length < 0) return 0;
        at[length] = 0;
        snprintf(whole, sizeof whole, "%s/%s", at, path);
    }
    size_t root = strlen(plan.root);
    if (strncmp(whole, plan.root, root) || whole[root] != '/') return 0;
    size_t length = 0;
    for (const char *part = whole + root + 1; *part;) {
        size_t size = strcspn(part, "/"), kept = size;
        const char *from = part;
        /* As files.py names what is half-written, and export/ a folder of it: with another dot after the first. */
        if (part[0] == '.') {
            while (kept > 1 && part[kept - 1] != '.') kept--;
            if (kept > 1) from++, kept -= 2;
            else kept = size;
        }
        if (length + kept + 2 > PATH_MAX) return 0;
        memcpy(out + length, from, kept);
        length += kept;
        part += size;
        if (*part) out[length++] = *part++;
    }
    out[length] = 0;
    return 1;
}

static int fired(void) {
    if (!fired_here && plan.kind >= FULL && syscall(SYS_access, plan.token, F_OK) == 0) fired_here = 1;
    return fired_here;
}

static void note(const char *verb, const char *name) {
    char line[PATH_MAX + 64];
    int length = snprintf(line, sizeof line, "%d %s %s\n", (int)getpid(), verb, name);
    int log = (int)syscall(SYS_openat, AT_FDCWD, plan.log, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (log < 0) return;
    syscall(SYS_write, log, line, (size_t)length);
    syscall(SYS_close, log);
}

/* A touch of a file by its name: harm is done where its turn has come. Before a kill, half of what was to be written is. */
static void touch(const char *verb, const char *name, int descriptor, const void *data, size_t size) {
    int saved = errno;
    note(verb, name);
    if (plan.kind != NONE && !strcmp(name, plan.path) && atomic_fetch_add(&touched, 1) + 1 == plan.nth) {
        int token = (int)syscall(SYS_openat, AT_FDCWD, plan.token, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (token >= 0) {
            syscall(SYS_close, token);
            fired_here = 1;
            if (plan.kind == KILL) {
                if (data && size > 1) syscall(SYS_write, descriptor, data, size / 2);
                kill(0, SIGKILL);
                for (;;) pause();
            }
            if (plan.kind == TERM) kill(getsid(0), SIGTERM);
            if (plan.kind == INT) kill(0, SIGINT);
        }
    }
    errno = saved;
}

static int refused(int error) {
    errno = error;
    return -1;
}

static void remember(int descriptor, const char *name) {
    if (descriptor < 0 || descriptor >= DESCRIPTORS) return;
    free(open_names[descriptor]);
    open_names[descriptor] = name ? strdup(name) : NULL;
}

static const char *remembered(int descriptor) {
    return plan.armed && descriptor >= 0 && descriptor < DESCRIPTORS ? open_names[descriptor] : NULL;
}

/* What every opening comes to: may it be done? Its name is left in `name`, or "". */
static int may_open(int folder, const char *path, int flags, char *name) {
    int writing = (flags & O_ACCMODE) != O_RDONLY || flags & (O_CREAT | O_TRUNC);
    struct stat found;
    name[0] = 0;
    if (!named(folder, path, name)) return 1;
    if (!writing) {
        /* Folders are opened too, to be listed. */
        if (flags & O_DIRECTORY || stat(path, &found) || !S_ISREG(found.st_mode)) name[0] = 0;
        else touch("read", name, -1, NULL, 0);
        if (name[0]) name[0] = 0;
        return 1;
    }
    touch("open", name, -1, NULL, 0);
    if (plan.kind == READONLY && fired()) return 0;
    return 1;
}

#define OPENING(folder, call) \
    char name[PATH_MAX]; \
    mode_t mode = 0; \
    if (flags & (O_CREAT | O_TMPFILE)) { \
        va_list rest; \
        va_start(rest, flags); \
        mode = va_arg(rest, mode_t); \
        va_end(rest); \
    } \
    if (!may_open(folder, path, flags, name)) return refused(EROFS); \
    int descriptor = call; \
    remember(descriptor, name[0] ? name : NULL); \
    return descriptor

int open(const char *path, int flags, ...) { REAL(open); OPENING(AT_FDCWD, real(path, flags, mode)); }
int open64(const char *path, int flags, ...) { REAL(open64); OPENING(AT_FDCWD, real(path, flags, mode)); }
int openat(int folder, const char *path, int flags, ...) { REAL(openat); OPENING(folder, real(folder, path, flags, mode)); }
int openat64(int folder, const char *path, int flags, ...) { REAL(openat64); OPENING(folder, real(folder, path, flags, mode)); }

static int flags_of(const char *mode) {
    int flags = mode[0] == 'r' ? O_RDONLY : O_WRONLY | O_CREAT;
    return strchr(mode, '+') ? O_RDWR | (flags & O_CREAT) : flags;
}

#define STREAMING \
    char name[PATH_MAX]; \
    if (!may_open(AT_FDCWD, path, flags_of(mode), name)) { \
        errno = EROFS; \
        return NULL; \
    } \
    FILE *stream = real(path, mode); \
    if (stream) remember(fileno(stream), name[0] ? name : NULL); \
    return stream

FILE *fopen(const char *path, const char *mode) { REAL(fopen); STREAMING; }
FILE *fopen64(const char *path, const char *mode) { REAL(fopen64); STREAMING; }

int close(int descriptor) {
    REAL(close);
    if (descriptor >= 0 && descriptor < DESCRIPTORS) remember(descriptor, NULL);
    return real(descriptor);
}

#define WRITING(data, size, call) \
    const char *name = remembered(descriptor); \
    if (name) { \
        touch("write", name, descriptor, data, size); \
        if (plan.kind == FULL && fired()) return refused(ENOSPC); \
        if (plan.kind == READONLY && fired()) return refused(EROFS); \
    } \
    return call

ssize_t write(int descriptor, const void *data, size_t size) {
    REAL(write);
    WRITING(data, size, real(descriptor, data, size));
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t at) {
    REAL(pwrite);
    WRITING(NULL, 0, real(descriptor, data, size, at));
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t at) {
    REAL(pwrite64);
    WRITING(NULL, 0, real(descriptor, data, size, at));
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    REAL(writev);
    WRITING(NULL, 0, real(descriptor, parts, count));
}
int fsync(int descriptor) {
    REAL(fsync);
    WRITING(NULL, 0, real(descriptor));
}

#define CHANGING(verb, folder, path, call) \
    char name[PATH_MAX]; \
    if (named(folder, path, name)) { \
        touch(verb, name, -1, NULL, 0); \
        if (plan.kind == READONLY && fired()) return refused(EROFS); \
    } \
    return call

int rename(const char *from, const char *to) { REAL(rename); CHANGING("rename", AT_FDCWD, to, real(from, to)); }
int renameat(int a, const char *from, int b, const char *to) { REAL(renameat); CHANGING("rename", b, to, real(a, from, b, to)); }
int link(const char *from, const char *to) { REAL(link); CHANGING("link", AT_FDCWD, to, real(from, to)); }
int linkat(int a, const char *from, int b, const char *to, int flags) { REAL(linkat); CHANGING("link", b, to, real(a, from, b, to, flags)); }
int unlink(const char *path) { REAL(unlink); CHANGING("remove", AT_FDCWD, path, real(path)); }
int unlinkat(int folder, const char *path, int flags) { REAL(unlinkat); CHANGING("remove", folder, path, real(folder, path, flags)); }

/* A folder is full or read-only like any other; it is not counted among the files. */
#define MAKING(folder, path, call) \
    char name[PATH_MAX]; \
    if (named(folder, path, name) && fired()) { \
        if (plan.kind == FULL) return refused(ENOSPC); \
        if (plan.kind == READONLY) return refused(EROFS); \
    } \
    return call

int mkdir(const char *path, mode_t mode) { REAL(mkdir); MAKING(AT_FDCWD, path, real(path, mode)); }
int mkdirat(int folder, const char *path, mode_t mode) { REAL(mkdirat); MAKING(folder, path, real(folder, path, mode)); }

int clock_gettime(clockid_t clock, struct timespec *now) {
    long status = syscall(SYS_clock_gettime, clock, now);
    if (!status && clock == CLOCK_REALTIME && plan.kind == CLOCK && fired()) now->tv_sec += plan.shift;
    return (int)status;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    struct timespec exact;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &exact);
    now->tv_sec = exact.tv_sec;
    now->tv_usec = exact.tv_nsec / 1000;
    return 0;
}
time_t time(time_t *out) {
    struct timespec exact;
    clock_gettime(CLOCK_REALTIME, &exact);
    if (out) *out = exact.tv_sec;
    return exact.tv_sec;
}
