#pragma once
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>

#include "restore/restore.hpp"
#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"

namespace stillpoint::test {

/// A vault in memory with one point of one disk, and a folder to restore to.
struct RestoreLab {
    static constexpr std::size_t block = VaultLab::chunk_bytes;

    explicit RestoreLab(Bytes disk) : content(std::move(disk)) {
        root = lab.backup({{"vda", content}}).value().disks[0];
        lab.reopen();
    }
    Result<restore::RestoreResult> restore(const restore::RestoreOptions& options,
                                           const restore::Progress& progress = {},
                                           const env::CancelToken& cancel = {}) {
        return restore::restore_disk(lab.vault(), root, folder.path(), options, progress, cancel);
    }
    Result<std::vector<restore::DamagedRange>> compare(const env::Path& file) {
        return restore::compare_with_file(lab.vault(), root, file, {}, {});
    }
    [[nodiscard]] Saboteur saboteur() { return Saboteur{store, lab.clock()}; }
    [[nodiscard]] std::uint64_t data_bytes() const {
        std::uint64_t sum = 0;
        for (std::size_t at = 0; at < content.size(); at += block) {
            const auto first = content.begin() + static_cast<std::ptrdiff_t>(at);
            const std::size_t length = std::min<std::size_t>(block, content.size() - at);
            const auto last = first + static_cast<std::ptrdiff_t>(length);
            if (std::any_of(first, last, [](std::byte b) { return b != std::byte{0}; }))
                sum += length;
        }
        return sum;
    }
    [[nodiscard]] std::vector<std::string> files() const {
        return env::list_folder(folder.path()).value();
    }
    [[nodiscard]] env::Path file(const std::string& name) const { return folder.path() / name; }

    vault::MemoryStore store;
    VaultLab lab{store};
    Bytes content;
    vault::DiskRoot root;
    env::TemporaryFolder folder =
        env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "stillpoint-test-")
            .value();
};

/// While it lives, no file of this process or its children grows past a size.
class FileSizeLimit {
public:
    explicit FileSizeLimit(rlim_t bytes) {
        ::getrlimit(RLIMIT_FSIZE, &before_);
        handler_ = std::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{bytes, before_.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limit);
    }
    FileSizeLimit(const FileSizeLimit&) = delete;
    FileSizeLimit& operator=(const FileSizeLimit&) = delete;
    ~FileSizeLimit() {
        ::setrlimit(RLIMIT_FSIZE, &before_);
        std::signal(SIGXFSZ, handler_);
    }

private:
    rlimit before_{};
    void (*handler_)(int) = nullptr;
};

}  // namespace stillpoint::test
