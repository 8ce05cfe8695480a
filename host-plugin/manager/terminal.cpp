#include "manager/terminal.hpp"

#include <fcntl.h>
#include <sys/ioctl.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <cstdio>

namespace stillpoint::manager {
namespace {

constexpr std::int64_t redraw_ns = 100'000'000;  // ten times a second is plenty for eyes
constexpr int bar_cells = 24;

std::int64_t now_ns() {
    return std::chrono::steady_clock::now().time_since_epoch().count();
}

std::string bar_of(std::uint64_t done, std::uint64_t total) {
    const auto full = total == 0 ? 0 : static_cast<int>(done * bar_cells / total);
    std::string bar;
    for (int i = 0; i < bar_cells; ++i) bar += i < full ? '#' : '.';
    return bar;
}

std::string clock_of(double seconds) {
    const auto whole = static_cast<long>(seconds);
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), "%ld:%02ld", whole / 60, whole % 60);
    return text.data();
}

class NoEcho {
public:
    explicit NoEcho(int fd) : fd_(fd) {
        tcgetattr(fd_, &before_);
        termios quiet = before_;
        quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
        tcsetattr(fd_, TCSAFLUSH, &quiet);
    }
    NoEcho(const NoEcho&) = delete;
    NoEcho& operator=(const NoEcho&) = delete;
    ~NoEcho() { tcsetattr(fd_, TCSAFLUSH, &before_); }

private:
    int fd_;
    termios before_{};
};

}  // namespace

ProgressBar::ProgressBar() : enabled_(isatty(STDERR_FILENO) == 1) {}

void ProgressBar::show(const serialization::ProgressEvent& event) {
    if (!enabled_) return;
    const std::int64_t now = now_ns();
    const std::string label = event.disk.empty() ? event.phase : event.phase + " " + event.disk;
    const bool fresh = label != label_;
    if (fresh) {
        label_ = label;
        started_ns_ = now;
    }
    if (!fresh && now - drawn_ns_ < redraw_ns && event.done < event.total) return;
    drawn_ns_ = now;
    drawn_ = true;
    if (event.total == 0) {
        std::fprintf(stderr, "\r\033[K%s %s", label.c_str(), event.text.c_str());
        return;
    }
    const double seconds = static_cast<double>(now - started_ns_) / 1e9;
    const double rate = seconds > 0.05 ? static_cast<double>(event.done) / seconds : 0;
    const double left = rate > 0 ? static_cast<double>(event.total - event.done) / rate : 0;
    std::fprintf(stderr, "\r\033[K%s [%s] %s of %s  %.0f MiB/s  ETA %s", label.c_str(),
                 bar_of(event.done, event.total).c_str(), human_bytes(event.done).c_str(),
                 human_bytes(event.total).c_str(), rate / 1048576.0, clock_of(left).c_str());
}

void ProgressBar::clear() {
    if (drawn_) std::fputs("\r\033[K", stderr);
    drawn_ = false;
}

void say_stopping() {
    const char* over_the_bar = isatty(STDERR_FILENO) == 1 ? "\r\033[K" : "";
    std::fprintf(stderr, "%sstillpoint: stopping, what was begun is undone\n", over_the_bar);
}

std::optional<std::string> ask_passphrase(const std::string& prompt) {
    if (isatty(STDIN_FILENO) != 1) return std::nullopt;
    std::fputs(prompt.c_str(), stderr);
    std::string line;
    {
        const NoEcho quiet{STDIN_FILENO};
        for (int c = std::getchar(); c != EOF && c != '\n'; c = std::getchar()) {
            line += static_cast<char>(c);
        }
    }
    std::fputc('\n', stderr);
    return line;
}

std::string fixed(double value, int digits) {
    std::array<char, 48> text{};
    std::snprintf(text.data(), text.size(), "%.*f", digits, value);
    return text.data();
}

std::string human_bytes(std::uint64_t bytes) {
    static constexpr std::array<const char*, 6> units{"B", "KiB", "MiB", "GiB", "TiB", "PiB"};
    auto value = static_cast<double>(bytes);
    std::size_t unit = 0;
    while (value >= 1024 && unit + 1 < units.size()) {
        value /= 1024;
        ++unit;
    }
    std::array<char, 32> text{};
    std::snprintf(text.data(), text.size(), unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s",
                  value, units[unit]);
    return text.data();
}

}  // namespace stillpoint::manager
