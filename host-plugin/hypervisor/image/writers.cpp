#include "hypervisor/image/writers.hpp"

#include <algorithm>

namespace stillpoint::hypervisor::image {
namespace {

constexpr std::uint64_t holders = 100;
constexpr std::uint64_t deniers = 200;
constexpr std::uint64_t write_permission = 1;   // BLK_PERM_WRITE = 1 << 1
constexpr std::uint64_t resize_permission = 3;  // BLK_PERM_RESIZE = 1 << 3

}  // namespace

Result<bool> has_writer(const env::Path& file) {
    return env::byte_locked(file, holders + write_permission);
}

Result<WriterBan> WriterBan::take(const env::Path& file) {
    SP_ASSIGN(auto locks, env::SharedByteLocks::take(
                              file, {deniers + write_permission, deniers + resize_permission}));
    // First deny, then look: a writer that comes now does the same and gives way.
    SP_ASSIGN(const bool written, has_writer(file));
    if (written) return fail(in_use("", file));
    return WriterBan{std::move(locks)};
}

bool DiskStamp::has_block_device() const {
    return std::any_of(stamps.begin(), stamps.end(),
                       [](const env::FileStamp& stamp) { return stamp.block_device; });
}

Result<DiskStamp> settled_stamp(const std::vector<std::string>& files, const env::Clock& clock,
                                const env::CancelToken& cancel) {
    DiskStamp all{.files = files, .stamps = {}};
    for (const std::string& file : files) {
        SP_ASSIGN(const env::FileStamp stamp, env::stamp_of(file));
        all.stamps.push_back(stamp);
    }
    for (const env::FileStamp& stamp : all.stamps) {
        if (!stamp.block_device) SP_TRY(env::settle(stamp, clock, cancel));
    }
    return all;
}

Result<std::string> find_change(const DiskStamp& before) {
    for (std::size_t i = 0; i < before.files.size(); ++i) {
        const std::string& file = before.files[i];
        // The writer first: who ends between the two looks has left a new stamp.
        SP_ASSIGN(const bool written, has_writer(file));
        SP_ASSIGN(const env::FileStamp now, env::stamp_of(file));
        const env::FileStamp& then = before.stamps[i];
        const bool same_device = then.block_device && now.block_device &&
                                 then.device == now.device && then.inode == now.inode;
        if (written || !(now == then || same_device)) return file;
    }
    return std::string{};
}

Error in_use(const std::string& disk, const std::string& file) {
    return {Errc::busy, "image.in_use",
            (disk.empty() ? "" : "disk " + disk + ": ") + file +
                " is open for writing in a QEMU process",
            "shut the VM down, or back it up while it runs (libvirt: stillpoint backup VM; plain "
            "QEMU: --qmp)"};
}

}  // namespace stillpoint::hypervisor::image
