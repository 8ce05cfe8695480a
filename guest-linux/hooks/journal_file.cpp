#include "hooks/journal_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "os/process.hpp"
#include "os/waiter.hpp"

namespace stillpoint::linux_guest {
namespace {

namespace fs = std::filesystem;
using os::UniqueFd;

constexpr std::string_view written = "written";
constexpr std::size_t answer_bytes_max = 512;
constexpr std::size_t boot_id_bytes_max = 64;

Status make_folder(const fs::path& file) {
    std::error_code error;
    fs::create_directories(file.parent_path(), error);
    if (error) {
        return fail(os::os_error("create " + file.parent_path().string(), error.value()));
    }
    return {};
}

/// A name is durable once its folder is.
Status sync_folder(const fs::path& file) {
    const std::string folder = file.parent_path();
    const UniqueFd fd{::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!fd.valid() || ::fsync(fd.get()) != 0) return fail(os::os_error("sync " + folder, errno));
    return {};
}

Status write_whole(const std::string& path, const std::string& text) {
    ::unlink(path.c_str());
    const UniqueFd file{
        ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, S_IRUSR | S_IWUSR)};
    if (!file.valid()) return fail(os::os_error("create " + path, errno));
    for (std::size_t done = 0; done < text.size();) {
        const ssize_t wrote = ::write(file.get(), text.data() + done, text.size() - done);
        if (wrote < 0 && errno == EINTR) continue;
        if (wrote <= 0) return fail(os::os_error("write " + path, errno));
        done += static_cast<std::size_t>(wrote);
    }
    if (::fsync(file.get()) != 0) return fail(os::os_error("sync " + path, errno));
    return {};
}

}  // namespace

Status HookJournalFile::lock() {
    if (lock_.valid()) return {};
    SP_TRY(make_folder(places_.lock));
    UniqueFd file{
        ::open(places_.lock.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, S_IRUSR | S_IWUSR)};
    if (!file.valid()) return fail(os::os_error("open " + places_.lock, errno));
    if (::flock(file.get(), LOCK_EX | LOCK_NB) != 0) {
        return fail(Errc::busy, "journal.locked", "another stillpoint-guest holds " + places_.lock,
                    "end it");
    }
    lock_ = std::move(file);
    return {};
}

Result<std::optional<quiesce::HookJournal>> HookJournalFile::read() {
    if (::access(places_.journal.c_str(), F_OK) != 0 && errno == ENOENT) return std::nullopt;
    const auto text = read_trusted(places_.journal, quiesce::hook_journal_bytes_max, places_.trust);
    if (!text && text.error().code == Errc::not_found) return std::nullopt;
    if (!text) return fail(text.error());
    SP_ASSIGN(quiesce::HookJournal journal, quiesce::decode_hook_journal(*text));
    return std::optional{std::move(journal)};
}

/// Who writes to a disk that hangs, or that somebody has frozen, cannot even be killed: a child
/// does it, so that the program goes on serving.
Status HookJournalFile::write(const quiesce::HookJournal& journal) {
    if (broken_) {
        return fail(Errc::timeout, "journal.slow",
                    "an earlier write of " + places_.journal + " has not ended",
                    "repair its disk, then restart stillpoint-guest");
    }
    SP_ASSIGN(os::FdPair answer, os::make_pipe());
    const std::array keep{answer.second.get(), lock_.get()};
    const auto child = os::fork_child("sp-journal", keep, [&] {
        const Status done = commit(journal);
        const std::string text = done ? std::string(written) : done.error().text;
        return ::write(answer.second.get(), text.data(), text.size()) > 0 ? 0 : 1;
    });
    if (!child) return fail(child.error());
    answer.second.reset();
    pollfd readable{answer.first.get(), POLLIN, 0};
    os::PlainWaiter waiter;
    if (waiter.wait({&readable, 1}, os::boottime() + hook_journal_write_max) !=
        os::WaitEnd::ready) {
        broken_ = true;
        return fail(Errc::timeout, "journal.slow", "writing " + places_.journal + " takes too long",
                    "repair its disk, then restart stillpoint-guest");
    }
    std::array<char, answer_bytes_max> text{};
    const ssize_t got = ::read(answer.first.get(), text.data(), text.size());
    const std::string said(text.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    if (said == written) return {};
    return fail(Errc::io, "journal.write", said.empty() ? "the journal's writer died" : said);
}

Status HookJournalFile::commit(const quiesce::HookJournal& journal) {
    if (journal.hooks.empty()) {
        if (::unlink(places_.journal.c_str()) != 0 && errno != ENOENT) {
            return fail(os::os_error("remove " + places_.journal, errno));
        }
        return sync_folder(places_.journal);
    }
    SP_TRY(make_folder(places_.journal));
    const std::string next = places_.journal + ".new";
    SP_TRY(write_whole(next, quiesce::encode_hook_journal(journal)));
    if (::rename(next.c_str(), places_.journal.c_str()) != 0) {
        return fail(os::os_error("rename " + next, errno));
    }
    return sync_folder(places_.journal);
}

Status HookJournalFile::set_aside() {
    const std::string aside = places_.journal + ".damaged";
    if (::rename(places_.journal.c_str(), aside.c_str()) != 0) {
        return fail(os::os_error("rename " + places_.journal, errno));
    }
    return sync_folder(places_.journal);
}

std::string boot_id() {
    std::string id =
        os::read_file("/proc/sys/kernel/random/boot_id", boot_id_bytes_max).value_or("");
    while (id.ends_with('\n')) id.pop_back();
    return id;
}

}  // namespace stillpoint::linux_guest
