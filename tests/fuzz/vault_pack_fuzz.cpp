// A pack's directory as somebody with the vault's key could have sealed it, and a trailer.
#include <algorithm>

#include "fuzz.hpp"
#include "vault/pack_format.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace vault;

Bytes sealed(const chunk::SealKey& key, std::uint64_t record, std::string_view part,
             ByteView plaintext) {
    const Bytes associated = associated_data(VaultId{}, ObjectKind::pack, as_bytes(part));
    Bytes out(plaintext.size() + chunk::seal_overhead_bytes);
    key.seal(record, associated, plaintext, out);
    return out;
}

/// A directory is believed only in a pack that has room for what it says, padding included.
void try_directory(const chunk::SealKey& key, ByteView plaintext, std::uint64_t pack_bytes) {
    const Bytes directory_part = sealed(key, directory_record, "directory", plaintext);
    const auto directory = open_directory(VaultId{}, key, directory_part, pack_bytes);
    if (!directory) return;
    SP_CHECK(directory->padding_bytes >= chunk::seal_overhead_bytes);
    SP_CHECK(directory->records_end() + directory->padding_bytes + directory_part.size() +
                 pack_trailer_bytes ==
             pack_bytes);
    const std::uint64_t unpadded =
        directory->records_end() +
        pack_end_bytes(directory->entries.size(), directory->bases.size());
    const Bytes again = seal_pack_end(VaultId{}, key, *directory, unpadded);
    const ByteView end = ByteView{again}.first(again.size() - pack_trailer_bytes);
    SP_CHECK(std::ranges::equal(end.last(directory_part.size()), directory_part));
}

}  // namespace

void fuzz_one(ByteView input) {
    if (input.size() < 4) return;
    const chunk::SealKey key{chunk::SecretKey{}};
    // The first four bytes choose what the trailer says, and the length that the pack seems to
    // have.
    Bytes trailer = sealed(key, trailer_record, "trailer", input.first(4));
    ByteWriter{trailer}.raw(as_bytes("SPdr"));
    const auto length = open_trailer(VaultId{}, key, trailer, input.size());
    SP_CHECK(!length || *length + object_header_bytes + pack_trailer_bytes <= input.size());
    try_directory(key, input.subspan(4), ByteReader{input}.u32().value());
}

}  // namespace stillpoint::fuzz
