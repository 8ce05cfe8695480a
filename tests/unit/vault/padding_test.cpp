#include "vault/padding.hpp"

#include <doctest/doctest.h>

#include <set>

#include "index_samples.hpp"
#include "support/vault_lab.hpp"
#include "vault/index_layout.hpp"
#include "vault/object_names.hpp"
#include "vault/open_pack.hpp"
#include "vault/pack_check.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"
#include "vault/segment_stream.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;
using test::VaultLab;

namespace {

/// A pack of so many chunks of noise, each of so many bytes.
Bytes pack_of(const TestVault& vault, std::size_t chunks, std::size_t bytes) {
    OpenPack pack{*vault.core, Content::data, env::make_page_buffer(vault.core->config.pack_bytes)};
    for (std::size_t i = 0; i < chunks; ++i) {
        const Bytes block = test::noise_block(bytes, i);
        const chunk::Payload payload{chunk::Codec::raw, block};
        std::uint32_t slot = 0;
        const auto entry =
            pack.reserve(vault.data_id(block), payload, static_cast<std::uint32_t>(bytes), &slot);
        pack.seal(slot, entry, payload);
    }
    return to_bytes(pack.complete().value());
}

Point point_with(std::size_t document_bytes) {
    return {.id = std::string(32, 'a'),
            .vm_name = "vm",
            .vm_uuid = "",
            .disks = {},
            .document = Bytes(document_bytes, std::byte{7})};
}

}  // namespace

TEST_CASE("vault/padding: at most an eighth more, and few different lengths") {
    static_assert(padme(0) == 0 && padme(1) == 1 && padme(8) == 8 && padme(9) == 10);
    static_assert(padme(17) == 18 && padme(8180) == 8192 && padme(8193) == 8704);
    std::set<std::uint64_t> lengths;
    for (std::uint64_t n = 1; n <= 100'000; ++n) {
        const std::uint64_t padded = padme(n);
        REQUIRE(padded >= n);
        REQUIRE((padded - n) * 8 <= n);
        REQUIRE(padme(padded) == padded);
        REQUIRE(padded >= padme(n - 1));
        lengths.insert(padded);
    }
    CHECK(lengths.size() == 189);
    CHECK(padded_bytes(1) == 4096);
    CHECK(padded_bytes(4096) == 4096);
    CHECK(padded_bytes((32u << 20) - 40'000) == 32u << 20);
    CHECK(padme(UINT64_MAX >> 1) == 1ull << 63);
}

TEST_CASE("vault/padding: neither the length of a pack nor its end tells how many chunks it has") {
    TestVault vault;
    const Bytes few = pack_of(vault, 2, 40'000), many = pack_of(vault, 160, 450);
    CHECK(few.size() == 81'920);
    CHECK(many.size() == few.size());
    // Behind the seals nothing but the mark is equal, and it says nothing.
    CHECK(std::ranges::equal(std::span{few}.last(4), std::span{many}.last(4)));
    CHECK(pack_of(vault, 0, 0).size() == 4096);
    for (const std::size_t bytes : {3'900u, 4'000u, 60'000u, 300'001u}) {
        const Bytes pack = pack_of(vault, 3, bytes);
        CHECK(pack.size() == padded_bytes(pack.size()));
    }
}

TEST_CASE("vault/padding: a full pack has the length that every full pack has") {
    TestVault vault;
    OpenPack pack{*vault.core, Content::data, env::make_page_buffer(vault.core->config.pack_bytes)};
    const Bytes block = test::noise_block(65'536, 1);
    const chunk::Payload payload{chunk::Codec::raw, block};
    while (pack.fits(payload)) {
        std::uint32_t slot = 0;
        pack.seal(slot, pack.reserve(vault.data_id(block), payload, 65'536, &slot), payload);
    }
    CHECK(pack.complete().value().size() == vault.core->config.pack_bytes);
}

TEST_CASE("vault/padding: of a pack is proven: neither changed nor anything else than zeros") {
    TestVault vault;
    PackDirectory directory;
    const chunk::SealKey key = vault.core->keys.object_key(ObjectKind::pack, Salt{});
    const VaultId& id = vault.core->keys.vault_id();
    const Bytes end = seal_pack_end(id, key, directory, pack_bytes_min);
    const ByteView padding = ByteView{end}.first(end.size() - pack_end_bytes(0) + 16);
    REQUIRE(padding.size() > 1'000);
    CHECK(check_padding(id, key, padding));
    Bytes changed = to_bytes(padding);
    changed[100] ^= std::byte{1};
    CHECK(check_padding(id, key, changed).error().id == "vault.pack_damaged");
    const Bytes message = test::noise_block(padding.size() - 16, 1);
    key.seal(padding_record, associated_data(id, ObjectKind::pack, as_bytes("padding")), message,
             changed);
    CHECK(check_padding(id, key, changed).error().id == "vault.pack_damaged");
}

TEST_CASE("vault/padding: pages of zeros hide how many entries a segment has, and are proven") {
    TestVault vault;
    const Bytes bytes = encode_segment(*vault.core, "index/a", test::segment_of(4'400));
    CHECK(encode_segment(*vault.core, "index/a", test::segment_of(4'700)).size() == bytes.size());
    const std::size_t pages = (bytes.size() - object_header_bytes) / index_page_bytes;
    CHECK(pages == padme(pages));
    const auto prove = [&](const Bytes& stored) {
        REQUIRE(vault.store.remove("index/a"));
        REQUIRE(vault.store.put("index/a", stored));
        const Status proven = prove_segment(*vault.core, "index/a", ByteCount{stored.size()});
        return proven ? std::string{} : proven.error().id;
    };
    CHECK(prove(bytes).empty());
    Bytes changed = bytes;
    changed.back() ^= std::byte{1};
    CHECK(prove(changed) == "vault.index_damaged");
    const Salt salt = read_object_header(bytes, ObjectKind::index).value();
    const Bytes message = test::noise_block(index_content_bytes, 1);
    vault.core->keys.object_key(ObjectKind::index, salt)
        .seal(pages - 1,
              associated_data(vault.core->keys.vault_id(), ObjectKind::index, as_bytes("index/a")),
              message, std::span{changed}.last(index_page_bytes));
    CHECK(prove(changed) == "vault.index_damaged");
    Bytes cut = bytes;
    cut.resize(bytes.size() - index_page_bytes);
    CHECK(prove(cut) == "vault.index_damaged");
}

TEST_CASE("vault/padding: a point's length tells nothing of what it says up to a page") {
    for (const std::size_t document : {0u, 100u, 3'900u}) {
        const Bytes record = encode_point(point_with(document)).value();
        CHECK(record.size() == 4096 - object_header_bytes - 16);
        CHECK(decode_point(record).value().document.size() == document);
    }
    const auto is_damage = [](const Bytes& record) {
        const auto point = decode_point(record);
        return !point && point.error().id == "point.damaged";
    };
    Bytes record = encode_point(point_with(100)).value();
    record.back() = std::byte{1};
    CHECK(is_damage(record));
    record.pop_back();
    CHECK(is_damage(record));
    record.resize(8192 - object_header_bytes - 16);
    CHECK(is_damage(record));
}

TEST_CASE("vault/padding: everything in a store that says how much there is has a padded length") {
    MemoryStore store;
    VaultLab lab{store};
    std::vector<VaultLab::Disk> disks{{"vda", test::noise_block(70 * VaultLab::chunk_bytes, 1)}};
    Point last = lab.backup(disks).value();
    for (std::size_t changed = 1; changed < 6; ++changed) {
        auto next = disks;
        for (std::size_t at = 0; at < changed; ++at) {
            next[0].content[(at * 9 + changed) * VaultLab::chunk_bytes] ^= std::byte{1};
        }
        last = lab.backup(next, &last, &disks).value();
        disks = next;
    }
    std::set<std::string> seen;
    const auto objects = store.list("").value();
    for (const ObjectInfo& object : objects) {
        CAPTURE(object.name);
        const std::uint64_t bytes = object.size.raw();
        const std::string prefix = object.name.substr(0, object.name.find('/') + 1);
        const bool index = prefix == names::index;
        if (object.name == names::config) continue;
        seen.insert(prefix);
        CHECK((index ? bytes - object_header_bytes : bytes) ==
              padded_bytes(index ? bytes - object_header_bytes : bytes));
    }
    CHECK(seen == std::set<std::string>{names::packs, names::index, names::points, names::copies});
}
