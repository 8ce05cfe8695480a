#include "vault/chunk_run.hpp"

#include "vault/index_segment.hpp"
#include "vault/map_delta.hpp"
#include "vault/pack_reader.hpp"

namespace stillpoint::vault {
namespace {

// A segment is written whenever so many entries wait for one: bounds the memory of a long run to
// about 30 MB whatever the size of its disks.
constexpr std::size_t unindexed_entries_max = 1u << 18;

chunk::CompressionPolicy policy_of(const VaultConfig& config, Content content) {
    // Map nodes are mostly ids: random bytes that no compressor makes smaller.
    if (content == Content::map) return chunk::CompressionPolicy::none;
    switch (config.compression) {
        case Compression::zstd:
            return chunk::CompressionPolicy::zstd;
        case Compression::lz4:
            return chunk::CompressionPolicy::lz4;
        case Compression::none:
            break;
    }
    return chunk::CompressionPolicy::none;
}

Segment segment_of(const std::vector<DurablePack>& packs) {
    Segment segment;
    for (const DurablePack& pack : packs) {
        const auto position = static_cast<std::uint32_t>(segment.packs.size());
        const PackDirectory& directory = pack.directory;
        const auto records = static_cast<std::uint32_t>(directory.entries.size());
        segment.packs.push_back({pack.name, static_cast<std::uint32_t>(directory.pack_bytes),
                                 records, directory.content});
        for (std::uint32_t slot = 0; slot < records; ++slot) {
            segment.entries.push_back({index_key(directory.entries[slot].id),
                                       static_cast<std::uint16_t>(slot), position});
        }
    }
    return segment;
}

}  // namespace

ChunkRun::ChunkRun(StoredChunks& chunks, std::unique_ptr<RunLease> lease)
    : chunks_(chunks),
      lease_(std::move(lease)),
      writer_(std::make_unique<PackWriter>(
          chunks.core(), [this](DurablePack pack) { return on_durable(std::move(pack)); })) {}

ChunkRun::~ChunkRun() {
    writer_.reset();
    if (!expires_) lease_->end();  // nothing can publish it any more: gc need not wait for it
}

Result<std::unique_ptr<ChunkRun>> ChunkRun::begin(StoredChunks& chunks, const std::string& run_id) {
    SP_ASSIGN(auto lease, RunLease::take(chunks.core(), run_id));
    chunks.forget_seen_packs();
    SP_TRY(chunks.refresh());
    return std::unique_ptr<ChunkRun>{new ChunkRun{chunks, std::move(lease)}};  // NOLINT: private
}

bool ChunkRun::claim(const chunk::ChunkId& id, Copies copies) {
    const std::scoped_lock lock{mutex_};
    const auto [at, first] = claimed_.emplace(id, copies);
    if (first) return true;
    if (copies == at->second || copies == Copies::one) return false;
    at->second = copies;
    return true;
}

Result<bool> ChunkRun::known_before(const chunk::ChunkId& id) {
    SP_ASSIGN(const auto place, chunks_.known(id));
    if (!place) return false;
    const std::scoped_lock lock{mutex_};
    claimed_.erase(id);  // found again at the next put; only what is not indexed takes memory
    return true;
}

/// A base is read for nothing where blocks are written as a whole: then seldom.
bool ChunkRun::may_be_delta(Content content) {
    if (content == Content::map) return true;
    const VaultCore& core = chunks_.core();
    return core.data_deltas == DataDeltas::local_stores && core.store.calls_at_once() == 1 &&
           core.config.compression == Compression::zstd && delta_odds_.worth_trying();
}

std::optional<ByteView> ChunkRun::difference(const BaseRecord& base, ByteView plaintext,
                                             Content content, Bytes& scratch) {
    if (content == Content::map) {
        auto delta = map_delta(base.id, *base.plaintext, plaintext);
        if (!delta) return std::nullopt;
        scratch = std::move(*delta);
        return ByteView{scratch};
    }
    // What the chunk would take whole is what its base takes, about: half of that is worth it.
    const std::size_t half = base.stored_bytes / 2;
    if (half <= chunk::ChunkId::bytes || !chunk::alike(*base.plaintext, plaintext)) {
        return std::nullopt;
    }
    return chunks_.core().delta_codec.compress(*base.plaintext, plaintext,
                                               half - chunk::ChunkId::bytes, scratch);
}

Result<chunk::Payload> ChunkRun::encode(const chunk::ChunkId* previous, ByteView plaintext,
                                        Content content, Bytes& scratch) {
    if (previous != nullptr && may_be_delta(content) && !is_claimed(*previous)) {
        SP_ASSIGN(const auto base, chunks_.base_after(*previous, content));
        const auto delta = base ? difference(*base, plaintext, content, scratch) : std::nullopt;
        if (content == Content::data) delta_odds_.tell(delta.has_value());
        if (delta) return chunk::Payload{chunk::Codec::delta, *delta, base->id};
    }
    const VaultCore& core = chunks_.core();
    return core.compressor.compress(policy_of(core.config, content), plaintext, scratch);
}

Result<PutResult> ChunkRun::store(const chunk::ChunkId* previous, const chunk::ChunkId& id,
                                  ByteView plaintext, Content content) {
    SP_ASSIGN(const bool known, known_before(id));
    if (known) return PutResult{};
    const auto scratch = scratches_.borrow([] { return std::make_unique<Bytes>(); });
    SP_ASSIGN(const chunk::Payload payload, encode(previous, plaintext, content, *scratch.get()));
    SP_ASSIGN(const std::uint64_t stored,
              writer_->append(id, payload, static_cast<std::uint32_t>(plaintext.size()), content));
    return PutResult{stored};
}

Result<PutResult> ChunkRun::put(const chunk::ChunkId& id, ByteView plaintext, Content content) {
    return put_chunk(nullptr, id, plaintext, content);
}

Result<PutResult> ChunkRun::put_after(const chunk::ChunkId& previous, const chunk::ChunkId& id,
                                      ByteView plaintext, Content content) {
    return put_chunk(&previous, id, plaintext, content);
}

Result<PutResult> ChunkRun::put_chunk(const chunk::ChunkId* previous, const chunk::ChunkId& id,
                                      ByteView plaintext, Content content) {
    if (plaintext.size() > limits::chunk_bytes_max) {
        return fail(Errc::invalid, "vault.chunk_bytes", "a chunk is longer than 1 MiB");
    }
    if (!claim(id, Copies::one)) {
        SP_TRY(writer_->state());
        return PutResult{};
    }
    auto stored = store(previous, id, plaintext, content);
    // Others may have taken our claim for a chunk that is there: the run must not go on.
    if (!stored) writer_->fail_with(stored.error());
    return stored;
}

Result<Bytes> ChunkRun::get(const chunk::ChunkId& id, Content content) {
    auto bytes = chunks_.get(id, content);
    if (bytes || !is_claimed(id)) return bytes;
    // Ours and not indexed yet. Rare enough to be served by what is there: make it durable.
    SP_TRY(flush());
    return chunks_.get(id, content);
}

bool ChunkRun::is_claimed(const chunk::ChunkId& id) {
    const std::scoped_lock lock{mutex_};
    return claimed_.contains(id);
}

Status ChunkRun::on_durable(DurablePack pack) {
    chunks_.reader_->remember(pack.name, pack.directory);
    bool enough = false;
    {
        const std::scoped_lock lock{mutex_};
        stored_bytes_ += pack.directory.pack_bytes;
        unindexed_entries_ += pack.directory.entries.size();
        unindexed_.push_back(std::move(pack));
        enough = unindexed_entries_ >= unindexed_entries_max;
    }
    if (enough) return write_segment();
    return {};
}

Status ChunkRun::write_segment() {
    const std::scoped_lock one_at_a_time{indexing_};
    std::vector<DurablePack> packs;
    {
        const std::scoped_lock lock{mutex_};
        packs.swap(unindexed_);
        unindexed_entries_ = 0;
    }
    if (packs.empty()) return {};
    const VaultCore& core = chunks_.core();
    const Segment segment = segment_of(packs);
    const std::string name = new_segment_name(core.random);
    const Bytes bytes = encode_segment(core, name, segment);
    SP_TRY(core.store.put(name, bytes));
    SP_TRY(chunks_.add_own(name, segment));
    const std::scoped_lock lock{mutex_};
    stored_bytes_ += bytes.size();
    for (const DurablePack& pack : packs) {
        for (const DirectoryEntry& entry : pack.directory.entries) claimed_.erase(entry.id);
    }
    return {};
}

Status ChunkRun::copy(const PackDirectory& directory, std::uint32_t slot, ByteView payload) {
    const DirectoryEntry& entry = directory.entries.at(slot);
    const auto base = directory.base_of(slot);
    if (!claim(entry.id, base ? Copies::one : Copies::one_whole)) return writer_->state();
    const auto stored = writer_->append(entry.id, {entry.codec, payload, base}, entry.plain_bytes,
                                        directory.content);
    if (stored) return {};
    writer_->fail_with(stored.error());
    return fail(stored.error());
}

Status ChunkRun::flush() {
    SP_TRY(writer_->finish());
    const Status written = write_segment();
    if (!written) writer_->fail_with(written.error());
    return written;
}

Status ChunkRun::ready_to_publish() {
    SP_TRY(writer_->state());
    SP_TRY(lease_->alive());
    const std::scoped_lock lock{mutex_};
    if (claimed_.empty()) return {};
    return fail(Errc::refused, "vault.not_flushed", "the run holds chunks that are not indexed yet",
                "flush first");
}

void ChunkRun::end() {
    lease_->end();
}

std::uint64_t ChunkRun::stored_total_bytes() const {
    const std::scoped_lock lock{mutex_};
    return stored_bytes_ + lease_->stored_bytes();
}

}  // namespace stillpoint::vault
