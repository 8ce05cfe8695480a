#include "vault/pack_writer.hpp"

namespace stillpoint::vault {
namespace {

// A store that watches its calls says itself which one hangs.
constexpr std::chrono::seconds report_slack{5};

tl::unexpected<Error> stalled(const BlockStore& store) {
    const auto s = std::chrono::duration_cast<std::chrono::seconds>(store.stall_max()).count();
    return fail(
        Errc::timeout, "vault.store_stalled",
        "the store " + store.describe() + " has not taken a pack for " + std::to_string(s) + " s",
        "see whether it still answers: its disk, its network, its server");
}

}  // namespace

PackWriter::PackWriter(const VaultCore& core, OnDurable on_durable)
    : core_(core), on_durable_(std::move(on_durable)) {
    for (std::size_t i = 0; i < packs_in_flight_max; ++i) {
        threads_.emplace_back([this] { write_packs(); });
    }
}

PackWriter::~PackWriter() {
    fail_with(Error{Errc::cancelled, "vault.run_abandoned", "the run was given up", {}});
    queue_.close();
    for (std::thread& thread : threads_) thread.join();
}

void PackWriter::fail_with(const Error& error) {
    const std::scoped_lock lock{mutex_};
    if (!broken_) broken_ = error;
    changed_.notify_all();
}

Status PackWriter::state() const {
    const std::scoped_lock lock{mutex_};
    if (broken_) return fail(*broken_);
    return {};
}

Result<std::uint64_t> PackWriter::append(const chunk::ChunkId& id, const chunk::Payload& payload,
                                         std::uint32_t plain_bytes, Content content) {
    FillingPtr filling;
    DirectoryEntry entry;
    std::uint32_t slot = 0;
    {
        // Only slot and offset are decided under the lock; the sealing runs beside others.
        Lock lock{mutex_};
        SP_ASSIGN(filling, room_for(lock, payload, content));
        entry = filling->pack.reserve(id, payload, plain_bytes, &slot);
        ++filling->sealing;
    }
    filling->pack.seal(slot, entry, payload);
    sealed(filling);
    return entry.stored_bytes;
}

Result<PackWriter::FillingPtr> PackWriter::room_for(Lock& lock, const chunk::Payload& payload,
                                                    Content content) {
    FillingPtr& open = open_.at(static_cast<std::size_t>(content));
    while (true) {
        if (broken_) return fail(*broken_);
        if (open && open->pack.fits(payload)) return open;
        if (open) retire(open);
        if (in_memory_ < packs_in_memory_max) {
            ++in_memory_;
            open = std::make_shared<Filling>(core_, content, take_buffer());
        } else {
            SP_TRY(wait_for_progress(lock));  // meanwhile another thread may have opened the next
        }
    }
}

Status PackWriter::wait_for_progress(Lock& lock) {
    const std::uint64_t before = left_;
    const auto limit = core_.store.stall_max() + report_slack;
    if (changed_.wait_for(lock, limit, [&] { return left_ != before; })) return {};
    return stalled(core_.store);
}

PackBuffer PackWriter::take_buffer() {
    if (spare_.empty()) return env::make_page_buffer(core_.config.pack_bytes);
    PackBuffer buffer = std::move(spare_.back());
    spare_.pop_back();
    return buffer;
}

void PackWriter::retire(FillingPtr& filling) {
    filling->retired = true;
    ++on_the_way_;
    if (filling->sealing == 0) queue_.push(filling);  // never waits: as long as packs in memory
    filling.reset();
}

void PackWriter::sealed(const FillingPtr& filling) {
    const std::scoped_lock lock{mutex_};
    if (--filling->sealing == 0 && filling->retired) queue_.push(filling);
}

Status PackWriter::finish() {
    Lock lock{mutex_};
    for (FillingPtr& open : open_) {
        if (open) retire(open);
    }
    // Also after a failure: then packs are dropped instead of written, and that is quick.
    while (on_the_way_ > 0) SP_TRY(wait_for_progress(lock));
    if (broken_) return fail(*broken_);
    return {};
}

void PackWriter::write_packs() {
    while (auto next = queue_.pop()) {
        // After a failure packs are only dropped: nothing of this run may count any more.
        const Status written = state() ? write(*next) : Status{};
        if (!written) fail_with(written.error());
        const std::scoped_lock lock{mutex_};
        // A put that was given up may still read from the buffer: then it is the store's to free.
        if (written) spare_.push_back((*next)->pack.take_buffer());
        --in_memory_;
        --on_the_way_;
        ++left_;
        changed_.notify_all();
    }
}

Status PackWriter::write(const FillingPtr& filling) {
    SP_ASSIGN(const ByteView bytes, filling->pack.complete());
    const PackName name = PackName::of(bytes);
    Status put = core_.store.put_shared(name.object(), bytes, filling);
    // Taken can only mean: by these very bytes, put before an answer that got lost.
    if (!put && put.error().id != "store.exists") return put;
    return on_durable_({name, filling->pack.take_directory()});
}

}  // namespace stillpoint::vault
