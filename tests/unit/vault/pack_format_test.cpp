#include "vault/pack_format.hpp"

#include <doctest/doctest.h>

#include "vault/open_pack.hpp"
#include "vault/pack_check.hpp"
#include "vault/pack_reader.hpp"
#include "vault/sealed_object.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

namespace {

/// A pack of some raw chunks, complete.
struct MadePack {
    explicit MadePack(const TestVault& vault, std::size_t chunks = 3)
        : pack(*vault.core, Content::data, env::make_page_buffer(vault.core->config.pack_bytes)) {
        for (std::size_t i = 0; i < chunks; ++i) {
            blocks.push_back(test::noise_block(1000 + i % 3, i));
            std::uint32_t slot = 0;
            const chunk::Payload payload{chunk::Codec::raw, blocks.back()};
            const auto plain = static_cast<std::uint32_t>(blocks.back().size());
            const auto entry = pack.reserve(vault.data_id(blocks.back()), payload, plain, &slot);
            pack.seal(slot, entry, payload);
        }
        bytes = to_bytes(pack.complete().value());
        name = PackName::of(bytes);
    }
    OpenPack pack;
    std::vector<Bytes> blocks;
    Bytes bytes;
    PackName name;
};

/// Puts these bytes where the pack should be.
void put_as(const TestVault& vault, const PackName& name, ByteView bytes) {
    REQUIRE(vault.store.remove(name.object()));
    REQUIRE(vault.store.put(name.object(), bytes));
}

}  // namespace

TEST_CASE("vault/pack: its name is the digest of its bytes by pieces, sorted into 256 folders") {
    const PackName name = PackName::of(as_bytes("abc"));
    CHECK(name.object() ==
          "packs/4f/4f8b42c22dd3729b519ba6f68d2da7cc5b2d606d05daed5ad5128cc03e6c6358");
    CHECK(PackName::parse_object(name.object()).value() == name);
    for (const std::string& wrong : {std::string{"packs/"}, std::string{"packs/bb/"} + name.hex(),
                                     name.hex(), name.object() + "0", std::string{}}) {
        CHECK(PackName::parse_object(wrong).error().id == "vault.pack_name");
    }
}

TEST_CASE("vault/pack: describes itself: directory and records from the bytes alone") {
    TestVault vault;
    MadePack made{vault};
    put_as(vault, made.name, made.bytes);
    PackReader reader{*vault.core};
    const auto directory = reader.directory(made.name).value();
    REQUIRE(directory->entries.size() == made.blocks.size());
    CHECK(directory->content == Content::data);
    CHECK(directory->pack_bytes == made.bytes.size());
    for (std::uint32_t slot = 0; slot < made.blocks.size(); ++slot) {
        CHECK(directory->entries[slot].id == vault.data_id(made.blocks[slot]));
        CHECK(reader.record(made.name, slot).value() == made.blocks[slot]);
    }
}

TEST_CASE("vault/pack: an empty pack is possible") {
    TestVault vault;
    MadePack made{vault, 0};
    put_as(vault, made.name, made.bytes);
    CHECK(PackReader{*vault.core}.directory(made.name).value()->entries.empty());
    CHECK(verify_pack(*vault.core, made.name).value().whole());
}

TEST_CASE("vault/pack: every flipped byte is found, by the name and by the seal of what it hit") {
    TestVault vault;
    MadePack made{vault};
    const std::size_t records_end = object_header_bytes + 3 * 16 + 1000 + 1001 + 1002;
    const std::size_t padding_end = made.bytes.size() - pack_end_bytes(3) + 16;
    for (std::size_t at = 0; at < made.bytes.size(); at += at < records_end ? 7 : 1) {
        CAPTURE(at);
        Bytes changed = made.bytes;
        changed[at] ^= std::byte{0x10};
        put_as(vault, made.name, changed);
        const PackVerdict verdict = verify_pack(*vault.core, made.name).value();
        CHECK_FALSE(verdict.whole());
        REQUIRE_FALSE(verdict.pack_damage.empty());
        const bool in_record = at >= object_header_bytes && at < records_end;
        CHECK(verdict.records.size() == (in_record ? 1 : 0));
        const bool in_padding = at >= records_end && at < padding_end;
        CHECK(verdict.directory_readable == (in_record || in_padding));
        PackReader reader{*vault.core};
        std::size_t readable = 0;
        for (std::uint32_t slot = 0; slot < 3 && reader.directory(made.name); ++slot) {
            const auto block = reader.record(made.name, slot);
            if (block) CHECK(*block == made.blocks[slot]);
            if (!block) CHECK(block.error().id == "vault.chunk_damaged");
            readable += block ? 1 : 0;
        }
        const std::size_t expected = in_padding ? 3 : in_record ? 2 : 0;
        CHECK(readable == expected);
    }
}

TEST_CASE("vault/pack: cut anywhere, longer, or missing is damage of the pack") {
    TestVault vault;
    MadePack made{vault};
    const auto damage = [&](ByteView bytes) {
        put_as(vault, made.name, bytes);
        CHECK(PackReader{*vault.core}.directory(made.name).error().id == "vault.pack_damaged");
        CHECK_FALSE(verify_pack(*vault.core, made.name).value().whole());
    };
    for (std::size_t size = 0; size < made.bytes.size(); size += 13) {
        damage(ByteView{made.bytes}.first(size));
    }
    Bytes longer = made.bytes;
    longer.push_back({});
    damage(longer);
    REQUIRE(vault.store.remove(made.name.object()));
    CHECK(PackReader{*vault.core}.directory(made.name).error().code == Errc::corrupt);
    CHECK(verify_pack(*vault.core, made.name).value().pack_damage.size() == 1);
}

TEST_CASE("vault/pack: a whole pack under another's name is found out") {
    TestVault vault;
    MadePack made{vault, 1}, other{vault, 2};
    put_as(vault, made.name, other.bytes);
    const auto verdict = verify_pack(*vault.core, made.name).value();
    CHECK(verdict.pack_damage.size() == 1);
    CHECK(verdict.records.empty());
}

TEST_CASE("vault/pack: a delta's seal is bound to its base, and it is nothing by itself") {
    TestVault vault;
    const Bytes block = test::noise_block(1000, 1);
    const chunk::SealKey key = vault.core->keys.object_key(ObjectKind::pack, Salt{});
    PackDirectory directory;
    directory.entries = {{vault.data_id(block), chunk::Codec::delta, 65536, 100, 0},
                         {vault.data_id(block), chunk::Codec::raw, 1000, 1016, 0}};
    const auto base = vault.data_id({});
    directory.bases[0] = base;
    Bytes bytes;
    write_object_header(bytes, ObjectKind::pack, Salt{});
    bytes.resize(bytes.size() + 100 + 1016);
    key.seal(1, record_associated(vault.core->keys.vault_id(), directory.entries[1]), block,
             std::span{bytes}.last(1016));
    const Bytes delta_payload(84);
    key.seal(0, record_associated(vault.core->keys.vault_id(), directory.entries[0], base),
             delta_payload, std::span{bytes}.subspan(object_header_bytes, 100));
    const Bytes end = seal_pack_end(vault.core->keys.vault_id(), key, directory, pack_bytes_min);
    bytes.insert(bytes.end(), end.begin(), end.end());
    const PackName name = PackName::of(bytes);
    put_as(vault, name, bytes);

    PackReader reader{*vault.core};
    CHECK(reader.directory(name).value()->bases == directory.bases);
    CHECK(reader.record(name, 0).error().id == "chunk.codec");
    CHECK(reader.record(name, 0).error().code == Errc::unsupported);
    CHECK(reader.record(name, 1).value() == block);
    CHECK(reader.payload(name, 0).value() == delta_payload);
    CHECK(verify_pack(*vault.core, name).value().whole());
    // The same pack, sealed for another base.
    key.seal(0, record_associated(vault.core->keys.vault_id(), directory.entries[0]), delta_payload,
             std::span{bytes}.subspan(object_header_bytes, 100));
    const PackName other = PackName::of(bytes);
    put_as(vault, other, bytes);
    CHECK(reader.payload(other, 0).error().id == "vault.chunk_damaged");
    CHECK(verify_pack(*vault.core, other).value().records.size() == 1);
}

TEST_CASE("vault/pack: the cache of directories is bounded and never wrong") {
    TestVault vault;
    std::vector<std::unique_ptr<MadePack>> packs;
    for (std::size_t i = 0; i < 4; ++i) {
        packs.push_back(std::make_unique<MadePack>(vault, 8000 - i));  // 450 KiB of directory each
        put_as(vault, packs.back()->name, packs.back()->bytes);
    }
    PackReader reader{*vault.core};
    std::vector<std::shared_ptr<const PackDirectory>> held;
    for (int round = 0; round < 20; ++round) {
        const auto& made = *packs[static_cast<std::size_t>(round) % packs.size()];
        const auto directory = reader.directory(made.name).value();
        CHECK(directory->entries.size() == made.blocks.size());
        held.push_back(directory);
    }
    reader.forget_all();
    CHECK(held.front()->entries.size() == 8000);  // what was handed out stays valid
}
