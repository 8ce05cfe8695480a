#pragma once
#include <algorithm>
#include <atomic>
#include <random>

#include "base/check.hpp"
#include "env/random.hpp"
#include "vault/memory_store.hpp"
#include "vault/opened_vault.hpp"
#include "vault/vault.hpp"

namespace stillpoint::test {

/// Stands still unless told; leases look at it from threads of their own. @threads any
class LabClock final : public env::Clock {
public:
    [[nodiscard]] env::Nanoseconds monotonic() const override { return now_.load(); }
    [[nodiscard]] env::Nanoseconds wall() const override {
        return std::chrono::seconds{1'800'000'000} + now_.load();
    }
    void pass(env::Nanoseconds time) { now_ = now_.load() + time; }

private:
    std::atomic<env::Nanoseconds> now_{std::chrono::hours{1}};
};

/// An open, unencrypted vault with small chunks, and disks as plain bytes to compare with.
class VaultLab {
public:
    static constexpr std::uint32_t chunk_bytes = 16u << 10;

    explicit VaultLab(vault::BlockStore& store, const vault::IndexLimits& limits = {})
        : store_(store), limits_(limits) {
        vault::InitOptions options;
        options.encryption = vault::Encryption::none;
        options.chunk_bytes = chunk_bytes;
        if (!store.size("config")) SP_CHECK(vault::init_vault(store, options, {}));
        reopen();
    }
    /// A vault that is open already.
    VaultLab(vault::BlockStore& store, std::unique_ptr<vault::Vault> opened)
        : store_(store), vault_(std::move(opened)) {}
    /// A second process on the same vault; its clock shows what the other's does.
    static void join_time(VaultLab& joining, const VaultLab& other) {
        joining.clock_.pass(other.clock_.monotonic() - joining.clock_.monotonic());
    }
    void reopen() {
        auto core = vault::unlock_vault(store_, {}, clock_).value();
        core->index_limits = limits_;
        vault_ = vault::OpenedVault::open(std::move(core)).value();
    }
    [[nodiscard]] vault::Vault& vault() { return *vault_; }
    [[nodiscard]] LabClock& clock() { return clock_; }
    /// A fresh id, later than every one before.
    [[nodiscard]] vault::PointId new_id() {
        clock_.pass(std::chrono::milliseconds{2});
        return env::uuid7(clock_);
    }

    /// Ships what differs between the parent's content and `now` (all of it without parent).
    Status ship(vault::DiskWriter& writer, const Bytes* before, const Bytes& now) {
        for (std::uint64_t at = 0; at < now.size(); at += chunk_bytes) {
            const ByteView block = block_of(now, at);
            if (before != nullptr && same(block_of(*before, at), block)) continue;
            SP_TRY(writer.put(BlockIndex{at / chunk_bytes}, block));
        }
        return {};
    }

    struct Disk {
        std::string name;
        Bytes content;
    };
    /// A whole backup of these disks; `parent` and what its disks held make it an increment.
    Result<vault::Point> backup(const std::vector<Disk>& disks,
                                const vault::Point* parent = nullptr,
                                const std::vector<Disk>* before = nullptr) {
        vault::Point point{.id = new_id(),
                           .vm_name = "vm",
                           .vm_uuid = "",
                           .disks = {},
                           .document = to_bytes(as_bytes("document"))};
        SP_ASSIGN(const auto run, vault_->begin_run(point.id));
        for (std::size_t at = 0; at < disks.size(); ++at) {
            std::optional<vault::DiskRoot> root;
            if (parent != nullptr) root = parent->disks.at(at);
            SP_ASSIGN(const auto writer,
                      run->open_disk(disks[at].name, ByteCount{disks[at].content.size()}, root));
            SP_TRY(ship(*writer, before ? &before->at(at).content : nullptr, disks[at].content));
            SP_ASSIGN(const auto finished, writer->finish());
            point.disks.push_back(finished);
        }
        SP_TRY(run->flush());
        SP_TRY(run->publish(point));
        return point;
    }

    Result<Bytes> read(const vault::DiskRoot& root) {
        SP_ASSIGN(const auto reader, vault_->open_disk(root));
        Bytes all(reader->size().raw());
        auto proof = vault_->prove(reader->size());
        for (std::uint64_t at = 0; at < all.size(); at += chunk_bytes) {
            const BlockIndex index{at / chunk_bytes};
            SP_ASSIGN(const Bytes block, reader->block(index));
            std::copy(block.begin(), block.end(), all.begin() + static_cast<std::ptrdiff_t>(at));
            SP_ASSIGN(const auto id, reader->id_at(index));
            SP_TRY(id ? (*proof)->put(index, *id) : (*proof)->put_zeros(index, 1));
        }
        SP_ASSIGN(const auto proven, (*proof)->finish());
        if (proven != root.root) return fail(Errc::corrupt, "test.unproven", "another root");
        return all;
    }

private:
    static ByteView block_of(const Bytes& disk, std::uint64_t at) {
        if (at >= disk.size()) return {};
        return ByteView{disk}.subspan(at, std::min<std::size_t>(chunk_bytes, disk.size() - at));
    }
    static bool same(ByteView a, ByteView b) {
        return std::equal(a.begin(), a.end(), b.begin(), b.end());
    }

    vault::BlockStore& store_;
    vault::IndexLimits limits_;
    LabClock clock_;
    std::unique_ptr<vault::Vault> vault_;
};

/// A disk of blocks that are zero, repeat, or are unique, by a seed.
inline Bytes random_disk(std::size_t bytes, std::uint64_t seed) {
    std::mt19937_64 random{seed};
    Bytes disk(bytes);
    for (std::size_t at = 0; at < bytes; at += VaultLab::chunk_bytes) {
        const std::uint64_t kind = random() % 4;
        std::mt19937_64 content{kind == 1 ? 5 : random()};
        if (kind == 0) continue;
        for (std::size_t i = at; i < std::min<std::size_t>(bytes, at + VaultLab::chunk_bytes);
             ++i) {
            disk[i] = static_cast<std::byte>(content());
        }
    }
    return disk;
}

/// Changes one byte of the first block at or after `block` that is not zero, so that an increment
/// stores that block as its difference. @return the block
inline std::size_t touch(Bytes& disk, std::size_t block) {
    const auto from = disk.begin() + static_cast<std::ptrdiff_t>(block * VaultLab::chunk_bytes);
    const auto found =
        std::find_if(from, disk.end(), [](std::byte b) { return b != std::byte{0}; });
    SP_CHECK(found != disk.end());
    *found ^= std::byte{0x40};
    return static_cast<std::size_t>(found - disk.begin()) / VaultLab::chunk_bytes;
}

}  // namespace stillpoint::test
