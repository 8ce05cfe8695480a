// A pack's directory as somebody with the vault's key could have sealed it, and a trailer.
#include "fuzz.hpp"
#include "vault/pack_format.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace vault;

Bytes sealed(const chunk::SealKey& key, ByteView plaintext) {
    const Bytes associated = associated_data(VaultId{}, ObjectKind::pack, as_bytes("directory"));
    Bytes out(plaintext.size() + chunk::seal_overhead_bytes);
    key.seal(directory_record, associated, plaintext, out);
    return out;
}

/// The length of a pack that has exactly these records; the directory is believed only with it.
std::uint64_t pack_bytes_of(const PackDirectory& directory, std::size_t sealed_bytes) {
    std::uint64_t sum = object_header_bytes + sealed_bytes + pack_trailer_bytes;
    for (const auto& entry : directory.entries) sum += entry.stored_bytes;
    return sum;
}

}  // namespace

void fuzz_one(ByteView input) {
    const chunk::SealKey key{chunk::SecretKey{}};
    if (input.size() >= pack_trailer_bytes) {
        const std::uint64_t pack_bytes = input.size();
        const auto trailer = read_trailer(input.last(pack_trailer_bytes), pack_bytes);
        SP_CHECK(!trailer || *trailer + object_header_bytes + pack_trailer_bytes <= pack_bytes);
        // The first four bytes choose the length that the pack seems to have.
        const std::uint32_t claimed = ByteReader{input}.u32().value();
        const ByteView plaintext = input.subspan(4);
        const auto directory = open_directory(VaultId{}, key, sealed(key, plaintext), claimed);
        if (!directory) return;
        SP_CHECK(pack_bytes_of(*directory, plaintext.size() + 16) == claimed);
        Bytes again = seal_directory(VaultId{}, key, *directory);
        again.resize(again.size() - pack_trailer_bytes);
        SP_CHECK(again == sealed(key, plaintext));
    }
}

}  // namespace stillpoint::fuzz
