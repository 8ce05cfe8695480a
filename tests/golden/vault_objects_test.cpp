// One frozen file for each kind of object of vault format 1 that the lower half writes.
#include <doctest/doctest.h>

#include "base/hex.hpp"
#include "support/golden.hpp"
#include "unit/vault/vault_fixture.hpp"
#include "vault/index_segment.hpp"
#include "vault/key_slot.hpp"
#include "vault/map_delta.hpp"
#include "vault/map_node.hpp"
#include "vault/marks.hpp"
#include "vault/open_pack.hpp"
#include "vault/pack_reader.hpp"
#include "vault/run_lease.hpp"
#include "vault/sealed_object.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::matches_golden;
using test::read_golden;

namespace {

chunk::SecretKey master() {
    return chunk::SecretKey::from(Bytes(chunk::SecretKey::bytes, std::byte{0x11})).value();
}

VaultConfig config_of(Encryption encryption) {
    VaultConfig config;
    config.id.fill(std::byte{0x22});
    config.encryption = encryption;
    if (encryption == Encryption::none) config.open_key = to_hex(master().view());
    return config;
}

/// A vault whose random bytes are the same at every run.
struct FixedVault {
    MemoryStore store;
    test::SplitClock clock;
    VaultCore core{store, DecodedConfig{config_of(Encryption::keyfile), {}, false}, master(), clock,
                   test::counted_random()};
};

std::string still_points() {
    std::string text;
    for (int i = 0; i < 40; ++i) text += "still point ";
    return text;
}

// What zstd 1.5.4 and lz4 1.9.4 make of it; frozen, because another version may compress better.
constexpr std::string_view zstd_payload =
    "28b52ffd60e0009d0000607374696c6c20706f696e74200100d1574b12";
constexpr std::string_view lz4_payload = "cf7374696c6c20706f696e74200c00ffbd506f696e7420";

struct Record {
    chunk::Codec codec;
    Bytes payload;
    Bytes plaintext;
};

std::vector<Record> records() {
    const Bytes plain = to_bytes(as_bytes(still_points()));
    return {
        {chunk::Codec::raw, to_bytes(as_bytes("raw content")), to_bytes(as_bytes("raw content"))},
        {chunk::Codec::zstd, from_hex(zstd_payload).value(), plain},
        {chunk::Codec::lz4, from_hex(lz4_payload).value(), plain}};
}

Bytes make_pack(const VaultCore& core, Content content) {
    OpenPack pack{core, content, env::make_page_buffer(core.config.pack_bytes)};
    for (const Record& record : records()) {
        std::uint32_t slot = 0;
        // Their ids differ by what is hashed; three chunks of one content have three ids here.
        const auto id = core.keys.data_ids().id_of(record.payload);
        const auto entry = pack.reserve(id, {record.codec, record.payload},
                                        static_cast<std::uint32_t>(record.plaintext.size()), &slot);
        pack.seal(slot, entry, {record.codec, record.payload});
    }
    return to_bytes(pack.complete().value());
}

/// Two leaves that differ in one child.
std::pair<Bytes, Bytes> nodes() {
    MapNode base{0, 64}, node{0, 64};
    for (std::uint32_t slot = 0; slot < 64; ++slot) {
        const auto digest = chunk::sha256(as_bytes(std::to_string(slot)));
        chunk::ChunkId id;
        std::copy(digest.begin(), digest.end(), id.value.begin());
        base.append(slot, id);
        if (slot == 9) id.value.fill(std::byte{0x77});
        node.append(slot, id);
    }
    return {encode(base), encode(node)};
}

Segment make_segment() {
    Segment segment;
    segment.packs = {{PackName{chunk::sha256(as_bytes("1"))}, 1000, 1200, Content::data},
                     {PackName{chunk::sha256(as_bytes("2"))}, 2000, 100, Content::map}};
    for (std::uint32_t i = 0; i < 1300; ++i) {
        SegmentEntry entry;
        const auto digest = chunk::sha256(as_bytes(std::to_string(i)));
        std::copy_n(digest.begin(), entry.key.size(), entry.key.begin());
        entry.pack = i < 1200 ? 0 : 1;
        entry.slot = static_cast<std::uint16_t>(i < 1200 ? i : i - 1200);
        segment.entries.push_back(entry);
    }
    return segment;
}

}  // namespace

TEST_CASE("golden/vault: config") {
    for (const auto encryption : {Encryption::none, Encryption::passphrase, Encryption::keyfile}) {
        const std::string name =
            "vault/config-" + std::to_string(static_cast<int>(encryption)) + "-v1.txt";
        CHECK(matches_golden(name, encode_config(config_of(encryption))));
        const auto read = decode_config(read_golden(name));
        REQUIRE(read);
        CHECK(read->config == config_of(encryption));
        CHECK_FALSE(read->damaged);
    }
}

TEST_CASE("golden/vault: key slots") {
    const KeyMaterial words{"correct horse", {}};
    const KeyMaterial file{{}, Bytes(32, std::byte{0x33})};
    const auto decoded = decode_config(encode_config(config_of(Encryption::keyfile))).value();
    const SlotBinding binding{decoded.config.id, decoded.digest, "keys/00000000"};
    for (const auto& [method, key, name] :
         {std::tuple{KeyMethod::passphrase, words, "vault/key-passphrase-v1.bin"},
          std::tuple{KeyMethod::keyfile, file, "vault/key-keyfile-v1.bin"}}) {
        const auto slot = wrap_master(master(), method, key, binding, test::counted_random());
        CHECK(matches_golden(name, encode_key_slot(slot.value())));
        const auto read = decode_key_slot(read_golden(name));
        REQUIRE(read.slot);
        CHECK_FALSE(read.damaged);
        const auto opened = unwrap_master(*read.slot, key, binding);
        REQUIRE(opened);
        CHECK(to_hex(opened->view()) == to_hex(master().view()));
    }
}

TEST_CASE("golden/vault: ids of data and of nodes") {
    FixedVault vault;
    const std::string text =
        "data " + to_hex(vault.core.keys.data_ids().id_of(as_bytes("abc")).view()) + "\nnode " +
        to_hex(vault.core.keys.node_ids().id_of(as_bytes("abc")).view()) + "\n";
    CHECK(matches_golden("vault/ids-v1.txt", text));
}

TEST_CASE("golden/vault: objects sealed as one record") {
    const std::vector<PackName> packs{PackName{chunk::sha256(as_bytes("1"))}};
    const Bytes point = to_bytes(as_bytes("what a point says"));
    for (const auto& [kind, object, file, plaintext] :
         {std::tuple{ObjectKind::point, "points/a", "vault/point-v1.bin", point},
          std::tuple{ObjectKind::run, "runs/a.0", "vault/run-v1.bin", encode_run({1, 2})},
          std::tuple{ObjectKind::condemned, "condemned/a", "vault/condemned-v1.bin",
                     encode_mark(packs)}}) {
        FixedVault vault;
        CHECK(matches_golden(file, seal_object(vault.core, kind, object, plaintext)));
        CHECK(open_object(vault.core, kind, object, read_golden(file)).value() == plaintext);
    }
}

TEST_CASE("golden/vault: packs") {
    for (const auto& [content, file] : {std::pair{Content::data, "vault/pack-data-v1.bin"},
                                        std::pair{Content::map, "vault/pack-map-v1.bin"}}) {
        FixedVault vault;
        CHECK(matches_golden(file, make_pack(vault.core, content)));
        const Bytes frozen = read_golden(file);
        const PackName name = PackName::of(frozen);
        REQUIRE(vault.store.put(name.object(), frozen));
        PackReader reader{vault.core};
        const auto directory = reader.directory(name);
        REQUIRE(directory);
        CHECK((*directory)->content == content);
        for (std::uint32_t slot = 0; slot < records().size(); ++slot) {
            CHECK(reader.record(name, slot).value() == records()[slot].plaintext);
        }
    }
}

namespace {

/// A base and what is stored as its difference from it.
struct Pair {
    Content content;
    Bytes base, plaintext, delta;
};

/// @return what the pack's second record says about the first, read back
Bytes check_pair(const char* file, const Pair& pair) {
    FixedVault vault;
    const auto& ids =
        pair.content == Content::map ? vault.core.keys.node_ids() : vault.core.keys.data_ids();
    const auto base_id = ids.id_of(pair.base);
    OpenPack pack{vault.core, pair.content, env::make_page_buffer(vault.core.config.pack_bytes)};
    for (const auto& [plain, payload] :
         {std::pair{pair.base, chunk::Payload{chunk::Codec::raw, pair.base}},
          std::pair{pair.plaintext, chunk::Payload{chunk::Codec::delta, pair.delta, base_id}}}) {
        std::uint32_t slot = 0;
        const auto entry = pack.reserve(ids.id_of(plain), payload,
                                        static_cast<std::uint32_t>(plain.size()), &slot);
        pack.seal(slot, entry, payload);
    }
    CHECK(matches_golden(file, to_bytes(pack.complete().value())));
    const Bytes frozen = read_golden(file);
    const PackName name = PackName::of(frozen);
    REQUIRE(vault.store.put(name.object(), frozen));
    PackReader reader{vault.core};
    CHECK(reader.directory(name).value()->base_of(1) == base_id);
    CHECK(reader.record(name, 0).value() == pair.base);
    return reader.payload(name, 1).value();
}

}  // namespace

TEST_CASE("golden/vault: a map pack with a node and another as its delta") {
    const auto [base, node] = nodes();
    const auto base_id = FixedVault{}.core.keys.node_ids().id_of(base);
    const Pair pair{Content::map, base, node, map_delta(base_id, base, node).value()};
    const Bytes payload = check_pair("vault/pack-map-delta-v1.bin", pair);
    CHECK(undo_map_delta(payload, base_id, base).value() == node);
}

TEST_CASE("golden/vault: a data pack with a chunk and another as its delta") {
    std::string base;
    for (int row = 0; row < 60; ++row) base += "row " + std::to_string(row * 7) + " of a table;";
    std::string now = base;
    now.replace(200, 20, "something else here!");
    // What zstd 1.5.4 makes of it with the base as its prefix; frozen as the others are.
    const Bytes delta = from_hex(
                            "28b52ffd606303fd0000a0736f6d657468696e6720656c736520686572652102"
                            "0008838a8b66501908")
                            .value();
    const Pair pair{Content::data, to_bytes(as_bytes(base)), to_bytes(as_bytes(now)), delta};
    const Bytes payload = check_pair("vault/pack-data-delta-v1.bin", pair);
    const chunk::DeltaCodec codec;
    CHECK(codec.decompress(pair.base, payload, pair.plaintext.size()).value() == pair.plaintext);
}

TEST_CASE("golden/vault: an index segment with a fan-out table and a page of padding") {
    FixedVault vault;
    Segment segment = make_segment();
    CHECK(matches_golden("vault/index-v1.bin", encode_segment(vault.core, "index/a", segment)));
    REQUIRE(vault.store.put("index/a", read_golden("vault/index-v1.bin")));
    const auto read = load_segment(vault.core, "index/a");
    REQUIRE(read);
    std::sort(segment.entries.begin(), segment.entries.end());
    CHECK(read->entries == segment.entries);
    CHECK(read->packs == segment.packs);
}
