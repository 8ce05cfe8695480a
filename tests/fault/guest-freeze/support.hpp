#pragma once
#include <sys/types.h>

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "freeze/freeze_run.hpp"

/// Real filesystems on loop devices in a private mount namespace, and eyes to see what a freeze
/// does to them.
namespace stillpoint::test {

using os::Nanoseconds;
namespace fs = std::filesystem;

inline constexpr Nanoseconds slack = std::chrono::seconds{1};  // I4: budget + 1 s

/// Enters a mount namespace of its own. @return false: not allowed here (the tests are skipped)
bool enter_private_mounts();

/// Runs a shell command; false when it failed.
bool shell(const std::string& command);

/// A filesystem on a loop device; unmounted and gone with the object.
class LoopFs {
public:
    LoopFs(const fs::path& folder, const std::string& name, const std::string& type);
    LoopFs(const LoopFs&) = delete;
    LoopFs& operator=(const LoopFs&) = delete;
    ~LoopFs();
    [[nodiscard]] const fs::path& point() const { return point_; }
    /// FIFREEZE/FITHAW by somebody else. @return errno or 0
    [[nodiscard]] int foreign_freeze() const;
    [[nodiscard]] int foreign_thaw() const;

private:
    fs::path image_;
    fs::path point_;
};

/// A process in a mount namespace of its own, with a copy of all mounts of the moment.
class Elsewhere {
public:
    explicit Elsewhere(fs::path point);
    Elsewhere(const Elsewhere&) = delete;
    Elsewhere& operator=(const Elsewhere&) = delete;
    ~Elsewhere();
    [[nodiscard]] int foreign_freeze() const;
    [[nodiscard]] int foreign_thaw() const;

private:
    fs::path point_;
    pid_t pid_ = -1;
};

/// A private temporary folder.
class TempFolder {
public:
    TempFolder();
    TempFolder(const TempFolder&) = delete;
    TempFolder& operator=(const TempFolder&) = delete;
    ~TempFolder();
    [[nodiscard]] const fs::path& path() const { return path_; }

private:
    fs::path path_;
};

/// A child that creates a file on a filesystem: blocked while that is frozen.
class Writer {
public:
    explicit Writer(const fs::path& folder);
    Writer(const Writer&) = delete;
    Writer& operator=(const Writer&) = delete;
    ~Writer();
    /// @return true: it got through before `span` passed
    [[nodiscard]] bool done_within(Nanoseconds span) const;

private:
    pid_t pid_ = -1;
    os::UniqueFd result_;
};

/// A child in the middle of a write that does not end: FIFREEZE waits for it, as it does for a
/// program that a virus scanner holds up.
class StuckWriter {
public:
    explicit StuckWriter(const fs::path& folder);
    StuckWriter(const StuckWriter&) = delete;
    StuckWriter& operator=(const StuckWriter&) = delete;
    ~StuckWriter();
    /// Lets the write end.
    void release();

private:
    pid_t pid_ = -1;
    os::UniqueFd feed_;
};

/// A plan for exactly the filesystems below `folder`: nothing of the machine itself is ever
/// touched.
linux_guest::FreezePlan plan_below(const fs::path& folder);
/// Everything: for looking at, or for picking from.
linux_guest::FreezePlan plan_of_all();

/// Children and grandchildren of `parent` with that name, e.g. "sp-watchdog".
std::vector<pid_t> processes_named(const std::string& name, pid_t parent);

/// Waits at most `span` until `condition` holds.
bool eventually(Nanoseconds span, const std::function<bool()>& condition);

}  // namespace stillpoint::test
