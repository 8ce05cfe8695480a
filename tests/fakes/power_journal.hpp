#pragma once
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.hpp"
#include "env/files.hpp"

namespace stillpoint::fakes {

/// Every call that changed files below a folder, in order, and what a disk may hold of them when
/// the power goes. What counts is what POSIX promises, not what one filesystem does: bytes are
/// there once their file was synced, a name (new, gone or another's) once its folder was, and of
/// all the rest anything or nothing, in any order.
/// Calls are seen through the linker's --wrap, so that the code under test is the code that ships;
/// a program lists them in its link_args (power_journal_args in tests/fault/meson.build).
/// @threads any; one journal at a time
class PowerJournal {
public:
    /// What is left of that which was not synced.
    struct Leave {
        enum class Names { none, all, some };
        enum class Data { none, torn, all, some };  // torn: the first half of each write
        Names names = Names::none;
        Data data = Data::none;
        std::uint64_t seed = 0;  // for some
    };
    /// Names are relative to the folder.
    using Disk = std::map<std::string, std::shared_ptr<const Bytes>>;

    /// What the folder's filesystem makes of a rename that must not replace anything.
    enum class Rename {
        known,
        link_unanswered  // as NFS at its worst: it is unknown, a link has to do, and the answer to
                         // that is lost; asked again, the name is taken
    };

    /// Listens from now on. @param folder is there already, and durable
    explicit PowerJournal(env::Path folder, Rename rename = Rename::known);
    PowerJournal(const PowerJournal&) = delete;
    PowerJournal& operator=(const PowerJournal&) = delete;
    ~PowerJournal();

    [[nodiscard]] std::size_t calls() const;
    /// Whether the call of this number (from 1) may have changed which names lead to which bytes.
    [[nodiscard]] bool matters(std::size_t call) const;
    /// The files when the power went after the first `calls` calls.
    [[nodiscard]] Disk after_cut(std::size_t calls, const Leave& leave) const;

    struct Call {
        enum class Kind { create, write, sync_file, make_folder, link, unlink, sync_folder };
        Kind kind;
        std::string path = {};    // all but write and sync_file
        std::size_t file = 0;     // create, write, sync_file, link
        std::uint64_t at = 0;     // write
        Bytes bytes = {};         // write
        std::string folder = {};  // of the path; filled in by add()
    };
    /// For the wrapped calls alone. @return the name below the folder; empty optional: elsewhere
    [[nodiscard]] std::optional<std::string> below(const char* path) const;
    [[nodiscard]] Rename rename() const { return rename_; }
    std::mutex& mutex() { return mutex_; }
    void add(Call call);
    std::map<int, std::size_t> open_files;       // by descriptor, as last opened
    std::map<int, std::string> open_folders;     // likewise
    std::map<std::string, std::size_t> by_path;  // files that were created
    std::size_t files = 0;

private:
    env::Path folder_;
    Rename rename_;
    mutable std::mutex mutex_;
    std::vector<Call> calls_;
    // By file and number of writes, all of them synced.
    mutable std::map<std::pair<std::size_t, std::size_t>, std::shared_ptr<const Bytes>> whole_;
};

}  // namespace stillpoint::fakes
