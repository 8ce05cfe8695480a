#include "vault/disk_writer.hpp"

#include "chunk/zero.hpp"

namespace stillpoint::vault {
namespace {

// The last block that both disks have, when its true length is not the same on both.
std::optional<BlockIndex> changed_edge(const MapShape& old, const MapShape& now) {
    const std::uint64_t common = std::min(old.blocks(), now.blocks());
    if (common == 0) return std::nullopt;
    const BlockIndex last{common - 1};
    if (old.length_of(last) == now.length_of(last)) return std::nullopt;
    return last;
}

}  // namespace

Result<std::unique_ptr<DiskWriter>> BlockWriter::open(const DiskContext& context,
                                                      const std::string& disk,
                                                      const MapShape& shape,
                                                      const std::optional<DiskRoot>& parent) {
    std::unique_ptr<BlockWriter> writer{new BlockWriter{context, disk, shape}};
    if (parent) {
        SP_ASSIGN(writer->parent_, MapReader::open(context.nodes, parent->root));
        if (writer->parent_->shape().size() != parent->size) {
            return fail(Errc::corrupt, "map.damaged",
                        "disk " + disk + ": the parent's block map is of another size");
        }
        writer->edge_ = changed_edge(writer->parent_->shape(), shape);
    }
    const MapReader* base = writer->parent_ ? &*writer->parent_ : nullptr;
    SP_ASSIGN(writer->map_, MapWriter::open(context.nodes, shape, base));
    return writer;
}

Status BlockWriter::check_range(BlockIndex first, std::uint64_t count) const {
    if (first.raw() <= shape_.blocks() && count <= shape_.blocks() - first.raw()) return {};
    return fail(
        Errc::invalid, "vault.block_range",
        "disk " + disk_ + ": blocks from " + std::to_string(first.raw()) + " on are past its end");
}

void BlockWriter::note(BlockIndex first, std::uint64_t count) {
    if (edge_ && edge_->raw() >= first.raw() && edge_->raw() - first.raw() < count) {
        edge_given_ = true;
    }
}

Result<ChildId> BlockWriter::parent_id(BlockIndex block) const {
    if (!parent_) return std::nullopt;
    return parent_->id_at(block);
}

Status BlockWriter::put(BlockIndex block, ByteView bytes) {
    SP_TRY(check_range(block, 1));
    if (bytes.size() != shape_.length_of(block)) {
        return fail(Errc::invalid, "vault.block_length",
                    "disk " + disk_ + ": block " + std::to_string(block.raw()) + " of " +
                        std::to_string(bytes.size()) + " bytes instead of " +
                        std::to_string(shape_.length_of(block)));
    }
    note(block, 1);
    SP_ASSIGN(const ChildId before, parent_id(block));
    ChildId now;
    if (!chunk::is_zero(bytes)) now = context_.block_id(bytes);
    // A full backup tells the map also what stays zero: known nodes leave the memory at once.
    if (now == before && parent_) return {};
    if (now) {
        SP_ASSIGN(const PutResult result,
                  before ? context_.chunks.put_after(*before, *now, bytes, Content::data)
                         : context_.chunks.put(*now, bytes, Content::data));
        shipped_bytes_ += bytes.size();
        stored_bytes_ += result.stored_bytes;
    }
    return map_->put(block, now);
}

Status BlockWriter::put_zeros(BlockIndex first, std::uint64_t count) {
    SP_TRY(check_range(first, count));
    note(first, count);
    return map_->put_zeros(first, count);
}

// The size changed inside this block: the same bytes at another length have another id.
Status BlockWriter::carry_edge() {
    SP_ASSIGN(const ChildId before, parent_id(*edge_));
    if (!before) return {};
    SP_ASSIGN(Bytes bytes, context_.chunks.get(*before, Content::data));
    if (bytes.size() != parent_->shape().length_of(*edge_)) {
        return fail(Errc::corrupt, "vault.chunk_damaged",
                    "disk " + disk_ + ": the parent's last block has a wrong length");
    }
    bytes.resize(shape_.length_of(*edge_));
    return put(*edge_, bytes);
}

Result<DiskRoot> BlockWriter::finish() {
    if (edge_ && !edge_given_) SP_TRY(carry_edge());
    SP_ASSIGN(const chunk::ChunkId root, map_->finish());
    return DiskRoot{disk_, shape_.size(), root};
}

WriteCounts BlockWriter::counts() const {
    return {shipped_bytes_.load(), stored_bytes_.load()};
}

}  // namespace stillpoint::vault
