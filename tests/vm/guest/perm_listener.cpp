// perm_listener PATH LOG DELAY_MS: a virus scanner in small. Decides about every open on PATH's
// filesystem, and writes a line to LOG before it answers, DELAY_MS after it was asked.
// perm_listener open FILE: opens and empties FILE, as a program that it decides about.
#include <fcntl.h>
#include <poll.h>
#include <sys/fanotify.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace {

int open_file(const char* path) {
    const int fd = ::open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    return fd < 0 ? 1 : 0;
}

int listen(const char* path, const char* log, int delay_ms) {
    const int log_fd = ::open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    const int group = ::fanotify_init(FAN_CLASS_CONTENT | FAN_CLOEXEC, O_RDONLY);
    if (log_fd < 0 || group < 0) return 1;
    if (::fanotify_mark(group, FAN_MARK_ADD | FAN_MARK_FILESYSTEM, FAN_OPEN_PERM, AT_FDCWD, path))
        return 1;
    std::puts("listening");
    std::fflush(stdout);
    for (;;) {
        fanotify_event_metadata event;
        if (::read(group, &event, sizeof event) != static_cast<ssize_t>(sizeof event)) return 1;
        ::poll(nullptr, 0, delay_ms);
        if (::write(log_fd, "asked\n", 6) != 6) return 1;
        const fanotify_response answer{event.fd, FAN_ALLOW};
        if (::write(group, &answer, sizeof answer) < 0) return 1;
        ::close(event.fd);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc == 3 && std::strcmp(argv[1], "open") == 0) return open_file(argv[2]);
    if (argc == 4) return listen(argv[1], argv[2], std::atoi(argv[3]));
    std::fputs("usage: perm_listener PATH LOG DELAY_MS | perm_listener open FILE\n", stderr);
    return 2;
}
