#include "vault/marks.hpp"

#include <algorithm>

#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {

Bytes encode_mark(const std::vector<PackName>& packs) {
    Bytes out;
    ByteWriter writer{out};
    writer.u32(static_cast<std::uint32_t>(packs.size()));
    for (const PackName& pack : packs) writer.raw(pack.value);
    return out;
}

Result<std::vector<PackName>> decode_mark(ByteView plaintext) {
    ByteReader reader{plaintext};
    const auto count = reader.u32();
    if (!count || reader.left() != std::size_t{*count} * std::tuple_size_v<chunk::Digest>) {
        return fail(Errc::corrupt, "vault.mark_damaged", "a mark's length is wrong");
    }
    std::vector<PackName> packs(*count);
    for (PackName& pack : packs) {
        SP_ASSIGN(const ByteView name, reader.take(pack.value.size()));
        std::copy(name.begin(), name.end(), pack.value.begin());
    }
    return packs;
}

Result<Marks> load_marks(const VaultCore& core) {
    SP_ASSIGN(const auto objects, core.store.list(names::condemned));
    Marks marks;
    for (const ObjectInfo& object : objects) {
        const auto plaintext = get_object(core, ObjectKind::condemned, object.name);
        const auto packs = plaintext ? decode_mark(*plaintext)
                                     : Result<std::vector<PackName>>{fail(plaintext.error())};
        if (packs) {
            marks.packs.insert(packs->begin(), packs->end());
        } else if (packs.error().code == Errc::corrupt) {
            marks.damage.push_back(in_step(object.name, packs.error()).text);
        } else if (packs.error().code != Errc::not_found) {  // gone since the listing: withdrawn
            return fail(packs.error());
        }
    }
    return marks;
}

}  // namespace stillpoint::vault
