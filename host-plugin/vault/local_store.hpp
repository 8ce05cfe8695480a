#pragma once
#include <memory>
#include <mutex>
#include <set>

#include "env/clock.hpp"
#include "env/file_stamp.hpp"
#include "env/files.hpp"
#include "vault/block_store.hpp"

namespace stillpoint::vault {

/// Objects as files below one folder; folders 0700, files 0400. Half-written objects live in tmp/
/// and are removed, by whoever opens the store, when they are older than a day.
/// A removal is durable when it returns, too: what is removed next must not be gone before.
/// A vault that was opened has to stay where it is: where its file system was unmounted, or another
/// one mounted over it, no further call writes anything there, and nothing passes for missing (io,
/// id "store.vanished"). A put that was under way just then may leave its object there: a stray
/// that a gc of that vault removes.
class LocalStore final : public BlockStore {
public:
    /// Needs no folder to be there: the first put makes it.
    static Result<std::unique_ptr<LocalStore>> open(const env::Path& root, const env::Clock& clock);

    Status put(const std::string& name, ByteView bytes) override;
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override;
    Result<Bytes> get_reusing(const std::string& name, ByteOffset at, ByteCount length,
                              Bytes spent) override;
    Result<ByteCount> size(const std::string& name) override;
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override;
    Status remove(const std::string& name) override;
    [[nodiscard]] std::string describe() const override { return root_.string(); }

private:
    explicit LocalStore(env::Path root) : root_(std::move(root)) {}
    Status make_durable_folder(const env::Path& folder);
    [[nodiscard]] Status remove_stale(const env::Clock& clock) const;
    /// Keeps in mind which vault this is, by its config; nothing where there is none yet.
    Status recognize();
    /// @errors io, id "store.vanished"
    Status still_there();
    /// What a call tells that failed: that the vault is gone, where that may be why.
    tl::unexpected<Error> failed(const std::string& name, Error error);
    Status write(const env::Path& path, ByteView bytes);
    Status list_below(const std::string& folder, const std::string& prefix,
                      std::vector<ObjectInfo>& found) const;
    env::Path root_;
    std::mutex mutex_;                     // guards what follows
    std::set<env::Path> durable_folders_;  // seen to it in this process
    Bytes config_;                         // empty: no vault yet
    env::FileStamp config_stamp_;          // of the file that was read last
};

}  // namespace stillpoint::vault
