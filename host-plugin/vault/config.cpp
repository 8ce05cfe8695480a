#include "vault/config.hpp"

#include <algorithm>
#include <charconv>
#include <optional>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "vault/object_names.hpp"
#include "vault/pack_format.hpp"

namespace stillpoint::vault {
namespace {

// Lines 1 and 2, the last line and the size of a copy stay what they are in every later format, so
// that any version can tell damage from a format it does not know.
constexpr std::size_t config_copy_bytes = 1024;
constexpr std::string_view first_line = "stillpoint vault";
constexpr std::string_view checksum_key = "sha256 ";
constexpr std::array<std::string_view, 3> encryption_names{"none", "passphrase", "keyfile"};
constexpr std::array<std::string_view, 3> compression_names{"none", "zstd", "lz4"};

std::string text_of(const VaultConfig& config) {
    std::string text{first_line};
    const auto line = [&](std::string_view key, std::string_view value) {
        text.append("\n").append(key).append(" ").append(value);
    };
    line("format", std::to_string(format_version));
    line("id", to_hex(config.id));
    line("encryption", encryption_names.at(static_cast<std::size_t>(config.encryption)));
    line("compression", compression_names.at(static_cast<std::size_t>(config.compression)));
    line("chunk-bytes", std::to_string(config.chunk_bytes));
    line("pack-bytes", std::to_string(config.pack_bytes));
    line("map-fan-out", std::to_string(config.map_fan_out));
    if (!config.open_key.empty()) line("open-key", config.open_key);
    return text + "\n";
}

/// The value of `key` in "key value" lines; empty when absent.
std::string_view value_of(std::string_view text, std::string_view key) {
    while (!text.empty()) {
        const std::size_t end = text.find('\n');
        const std::string_view line = text.substr(0, end);
        if (line.size() > key.size() && line.starts_with(key) && line[key.size()] == ' ') {
            return line.substr(key.size() + 1);
        }
        if (end == std::string_view::npos) break;
        text.remove_prefix(end + 1);
    }
    return {};
}

std::uint32_t number_of(std::string_view text, std::string_view key) {
    const std::string_view value = value_of(text, key);
    std::uint32_t number = 0;
    const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
    return error == std::errc{} && end == value.data() + value.size() ? number : 0;
}

template <class E, std::size_t N>
std::optional<E> named(const std::array<std::string_view, N>& all, std::string_view name) {
    const auto found = std::find(all.begin(), all.end(), name);
    if (found == all.end()) return std::nullopt;
    return static_cast<E>(found - all.begin());
}

bool power_of_two_within(std::uint32_t value, std::uint32_t min, std::uint32_t max) {
    return value >= min && value <= max && (value & (value - 1)) == 0;
}

bool legal(const VaultConfig& config) {
    const bool open = config.encryption == Encryption::none;
    return power_of_two_within(config.chunk_bytes, limits::chunk_bytes_min,
                               limits::chunk_bytes_max) &&
           power_of_two_within(config.map_fan_out, 16, 256) &&
           config.pack_bytes >= pack_bytes_min && config.pack_bytes <= pack_bytes_max &&
           (open ? chunk::SecretKey::from(from_hex(config.open_key).value_or(Bytes{})).has_value()
                 : config.open_key.empty());
}

std::optional<VaultConfig> parse_text(std::string_view text) {
    VaultConfig config;
    const auto id = from_hex(value_of(text, "id"));
    const auto encryption = named<Encryption>(encryption_names, value_of(text, "encryption"));
    const auto compression = named<Compression>(compression_names, value_of(text, "compression"));
    if (!id || id->size() != config.id.size() || !encryption || !compression) return std::nullopt;
    std::copy(id->begin(), id->end(), config.id.begin());
    config.encryption = *encryption;
    config.compression = *compression;
    config.chunk_bytes = number_of(text, "chunk-bytes");
    config.pack_bytes = number_of(text, "pack-bytes");
    config.map_fan_out = number_of(text, "map-fan-out");
    config.open_key = value_of(text, "open-key");
    // Only the one spelling that we write: nothing may hide in a config.
    if (!legal(config) || text_of(config) != text) return std::nullopt;
    return config;
}

struct Copy {
    std::string_view text;
    chunk::Digest digest{};
};

/// A copy whose checksum and padding are right.
std::optional<Copy> whole_copy(ByteView bytes) {
    const std::string_view all = as_text(bytes);
    const std::size_t at = all.find(std::string("\n").append(checksum_key));
    if (bytes.size() != config_copy_bytes || at == std::string_view::npos) return std::nullopt;
    Copy copy{all.substr(0, at + 1), chunk::sha256(bytes.first(at + 1))};
    std::string tail = std::string(checksum_key) + to_hex(copy.digest) + "\n";
    tail.resize(config_copy_bytes - copy.text.size(), '\n');
    if (all.substr(copy.text.size()) != tail) return std::nullopt;
    return copy;
}

tl::unexpected<Error> damaged(const std::string& what) {
    return fail(Errc::corrupt, "vault.config_damaged", "the vault's config " + what,
                "put the object 'config' back from another copy of the vault");
}

Result<DecodedConfig> decode_copy(const Copy& copy) {
    if (!copy.text.starts_with(std::string(first_line) + "\n")) return damaged("is not a vault's");
    const std::uint32_t format = number_of(copy.text, "format");
    if (format > format_version) {
        return fail(Errc::unsupported, "vault.newer_format",
                    "the vault has format " + std::to_string(format) + ", this version knows " +
                        std::to_string(format_version),
                    "use a newer version of Stillpoint");
    }
    const auto config = parse_text(copy.text);
    if (!config) return damaged("holds values that this version never writes");
    return DecodedConfig{*config, copy.digest, false};
}

}  // namespace

Bytes encode_config(const VaultConfig& config) {
    SP_CHECK(legal(config));
    std::string text = text_of(config);
    text += std::string(checksum_key) + to_hex(chunk::sha256(as_bytes(text))) + "\n";
    SP_CHECK(text.size() <= config_copy_bytes);
    text.resize(config_copy_bytes, '\n');
    return to_bytes(as_bytes(text + text));
}

Result<DecodedConfig> decode_config(ByteView bytes) {
    const ByteView head = bytes.first(std::min(bytes.size(), config_copy_bytes));
    const auto first = whole_copy(head);
    const auto second = whole_copy(bytes.subspan(head.size()));
    if (!first && !second) return damaged("is damaged in both its copies");
    SP_ASSIGN(DecodedConfig decoded, decode_copy(first ? *first : *second));
    decoded.damaged = !first || !second || first->text != second->text;
    return decoded;
}

Result<DecodedConfig> load_config(BlockStore& store) {
    const auto size = store.size(names::config);
    if (!size && size.error().code == Errc::not_found) {
        SP_ASSIGN(const auto packs, store.list(names::packs));
        if (!packs.empty()) return damaged("is missing, but there are packs");
        return fail(Errc::not_found, "vault.missing", "there is no vault at " + store.describe(),
                    "make one with: stillpoint vault init " + store.describe());
    }
    if (!size) return fail(size.error());
    const ByteCount length{std::min<std::uint64_t>(size->raw(), 2 * config_copy_bytes + 1)};
    SP_ASSIGN(const Bytes bytes, store.get(names::config, ByteOffset{0}, length));
    return decode_config(bytes);
}

}  // namespace stillpoint::vault
