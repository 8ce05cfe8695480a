#include "vault/config.hpp"

#include <doctest/doctest.h>

#include "base/hex.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

constexpr std::size_t copy_bytes = 1024;

VaultConfig sample() {
    VaultConfig config;
    config.id.fill(std::byte{0x5a});
    config.compression = Compression::lz4;
    config.chunk_bytes = 128u << 10;
    return config;
}

/// Both copies changed alike, with checksums that are right again.
Bytes rewritten(const VaultConfig& config, const std::string& from, const std::string& to) {
    std::string text{as_text(ByteView{encode_config(config)}.first(copy_bytes))};
    text.resize(text.find("sha256 "));
    text.replace(text.find(from), from.size(), to);
    text += "sha256 " + to_hex(chunk::sha256(as_bytes(text))) + "\n";
    text.resize(copy_bytes, '\n');
    return to_bytes(as_bytes(text + text));
}

}  // namespace

TEST_CASE("vault/config: reads what it wrote, in every combination") {
    for (const auto encryption : {Encryption::none, Encryption::passphrase, Encryption::keyfile}) {
        for (const auto compression : {Compression::none, Compression::zstd, Compression::lz4}) {
            VaultConfig config = sample();
            config.encryption = encryption;
            config.compression = compression;
            if (encryption == Encryption::none) config.open_key = std::string(64, 'a');
            const auto decoded = decode_config(encode_config(config));
            REQUIRE(decoded);
            CHECK(decoded->config == config);
            CHECK_FALSE(decoded->damaged);
        }
    }
}

TEST_CASE("vault/config: any single damaged byte is noticed and healed by the other copy") {
    const Bytes whole = encode_config(sample());
    REQUIRE(whole.size() == 2 * copy_bytes);
    for (std::size_t at = 0; at < whole.size(); ++at) {
        CAPTURE(at);
        Bytes changed = whole;
        changed[at] ^= std::byte{0x04};
        const auto decoded = decode_config(changed);
        REQUIRE(decoded);
        CHECK(decoded->damaged);
        CHECK(decoded->config == sample());
    }
}

TEST_CASE("vault/config: cut anywhere it is damage, and readable while one copy is left") {
    const Bytes whole = encode_config(sample());
    for (std::size_t size = 0; size < whole.size(); ++size) {
        CAPTURE(size);
        const auto decoded = decode_config(ByteView{whole}.first(size));
        CHECK(decoded.has_value() == (size >= copy_bytes));
        if (decoded) CHECK(decoded->damaged);
        if (!decoded) CHECK(decoded.error().id == "vault.config_damaged");
    }
    Bytes longer = whole;
    longer.push_back({});
    CHECK(decode_config(longer).value().damaged);
}

TEST_CASE("vault/config: both copies damaged is damage, not a guess") {
    Bytes changed = encode_config(sample());
    changed[20] ^= std::byte{1};
    changed[copy_bytes + 20] ^= std::byte{1};
    CHECK(decode_config(changed).error().code == Errc::corrupt);
}

TEST_CASE("vault/config: a newer format is told from damage") {
    const auto newer = decode_config(rewritten(sample(), "format 1", "format 7"));
    REQUIRE_FALSE(newer);
    CHECK(newer.error().code == Errc::unsupported);
    CHECK(newer.error().id == "vault.newer_format");
    CHECK(decode_config(rewritten(sample(), "format 1\n", "format 7\nlater thing\n")).error().id ==
          "vault.newer_format");
}

TEST_CASE("vault/config: values that we never write are refused, checksum or not") {
    const std::vector<std::pair<std::string, std::string>> changes{
        {"format 1", "format 0"},
        {"stillpoint vault", "another vault"},
        {"chunk-bytes 131072", "chunk-bytes 131073"},
        {"chunk-bytes 131072", "chunk-bytes 8192"},
        {"chunk-bytes 131072", "chunk-bytes 0131072"},
        {"chunk-bytes 131072", "chunk-bytes 131072 "},
        {"pack-bytes 33554432", "pack-bytes 4294967295"},
        {"map-fan-out 64", "map-fan-out 63"},
        {"encryption passphrase", "encryption rot13"},
        {"compression lz4\n", "compression lz4\ncompression lz4\n"},
        {"map-fan-out 64\n", "map-fan-out 64\nunknown 1\n"},
        {"map-fan-out 64\n", "map-fan-out 64\nopen-key " + std::string(64, 'a') + "\n"},
        {"encryption passphrase", "encryption none"},
    };
    for (const auto& change : changes) {
        CAPTURE(change.second);
        const auto decoded = decode_config(rewritten(sample(), change.first, change.second));
        REQUIRE_FALSE(decoded);
        CHECK(decoded.error().id == "vault.config_damaged");
    }
}

TEST_CASE("vault/config: no config is no vault, unless packs are there") {
    MemoryStore store;
    CHECK(load_config(store).error().id == "vault.missing");
    REQUIRE(store.put("packs/ab/abcd", {}));
    CHECK(load_config(store).error().id == "vault.config_damaged");
}
