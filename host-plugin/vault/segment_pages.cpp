#include "vault/segment_pages.hpp"

#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

template <std::size_t N>
Status read_array(ByteReader& reader, std::array<std::byte, N>& into) {
    SP_ASSIGN(const ByteView view, reader.take(N));
    std::copy(view.begin(), view.end(), into.begin());
    return {};
}

Result<SegmentShape> read_shape(ByteView summary) {
    ByteReader reader{summary};
    SegmentShape shape;
    SP_ASSIGN(shape.entries, reader.u64());
    SP_ASSIGN(shape.packs, reader.u32());
    return shape;
}

}  // namespace

Result<SegmentPack> read_pack_row(ByteReader& reader) {
    SegmentPack pack;
    SP_TRY(read_array(reader, pack.name.value));
    SP_ASSIGN(pack.pack_bytes, reader.u32());
    SP_ASSIGN(pack.records, reader.u32());
    SP_ASSIGN(const std::uint64_t content, reader.u64());
    if (content > static_cast<std::uint64_t>(Content::map) || pack.records > pack_records_max) {
        return fail(Errc::corrupt, "vault.index_damaged", "impossible pack row");
    }
    pack.content = static_cast<Content>(content);
    return pack;
}

Result<SegmentEntry> read_entry_row(ByteReader& reader) {
    SegmentEntry entry;
    SP_TRY(read_array(reader, entry.key));
    SP_ASSIGN(entry.slot, reader.u16());
    SP_ASSIGN(entry.pack, reader.u32());
    return entry;
}

Error segment_error(const std::string& name, const Error& cause) {
    if (cause.code != Errc::corrupt) return cause;
    const bool named = cause.text.find(name) != std::string::npos;
    return {Errc::corrupt, "vault.index_damaged", named ? cause.text : name + ": " + cause.text,
            "run: stillpoint vault check"};
}

SegmentPages::SegmentPages(const VaultCore& core, const std::string& name, const Salt& salt)
    : core_(core),
      name_(name),
      key_(core.keys.object_key(ObjectKind::index, salt)),
      associated_(associated_data(core.keys.vault_id(), ObjectKind::index, as_bytes(name))) {}

tl::unexpected<Error> SegmentPages::damaged(const std::string& what) const {
    return fail(segment_error(name_, {Errc::corrupt, {}, name_ + " " + what, {}}));
}

Result<SegmentPages> SegmentPages::open(const VaultCore& core, const std::string& name,
                                        ByteCount object_bytes, ByteCount whole_max) {
    return read_proven(core.store, name,
                       [&] { return open_once(core, name, object_bytes, whole_max); });
}

Result<SegmentPages> SegmentPages::open_once(const VaultCore& core, const std::string& name,
                                             ByteCount object_bytes, ByteCount whole_max) {
    constexpr std::uint64_t head_bytes = object_header_bytes + index_page_bytes;
    if (object_bytes.raw() < head_bytes) {
        return fail(
            segment_error(name, {Errc::corrupt, {}, name + " is shorter than any segment", {}}));
    }
    const bool whole = object_bytes <= whole_max;
    auto read = core.store.get(name, ByteOffset{0}, whole ? object_bytes : ByteCount{head_bytes});
    if (!read) return fail(segment_error(name, read.error()));
    const ByteView head = ByteView{*read}.first(head_bytes);
    const auto salt = read_object_header(head.first(object_header_bytes), ObjectKind::index);
    if (!salt) return fail(segment_error(name, salt.error()));
    SegmentPages pages{core, name, *salt};
    SP_TRY(pages.take_summary(head.subspan(object_header_bytes), object_bytes));
    if (whole) pages.whole_ = std::move(*read);
    return pages;
}

Status SegmentPages::take_summary(ByteView sealed, ByteCount object_bytes) {
    SP_ASSIGN(const Bytes summary, unseal(0, sealed));
    SP_ASSIGN(const SegmentShape shape, read_shape(summary));
    // No number is believed, nor anything allocated for it, before the object's length agrees.
    if (shape.packs > index_packs_max || shape.entries > index_entries_max ||
        object_bytes.raw() != object_header_bytes + shape.pages() * index_page_bytes) {
        return damaged("has not the length that it should have");
    }
    shape_ = shape;
    return {};
}

Result<Bytes> SegmentPages::unseal(std::uint64_t first, ByteView sealed) const {
    const std::size_t count = sealed.size() / index_page_bytes;
    Bytes content(count * index_content_bytes);
    for (std::size_t i = 0; i < count; ++i) {
        const auto page = std::span{content}.subspan(i * index_content_bytes, index_content_bytes);
        const ByteView from = sealed.subspan(i * index_page_bytes, index_page_bytes);
        if (!key_.open(first + i, associated_, from, page)) {
            return damaged("is damaged in page " + std::to_string(first + i));
        }
    }
    return content;
}

Result<Bytes> SegmentPages::read(std::uint64_t first, std::uint64_t count) const {
    const ByteOffset from{object_header_bytes + first * index_page_bytes};
    if (!whole_.empty()) {
        auto content =
            unseal(first, ByteView{whole_}.subspan(from.raw(), count * index_page_bytes));
        if (content) return content;  // else: what the store has decides
    }
    return read_proven(core_.store, name_, [&]() -> Result<Bytes> {
        const auto sealed = core_.store.get(name_, from, ByteCount{count * index_page_bytes});
        if (!sealed) return fail(segment_error(name_, sealed.error()));
        return unseal(first, *sealed);
    });
}

}  // namespace stillpoint::vault
