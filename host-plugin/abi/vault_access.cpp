#include "abi/vault_access.hpp"

#include <algorithm>

#include "base/hex.hpp"
#include "env/files.hpp"
#include "env/random.hpp"
#include "vault/init.hpp"

namespace stillpoint::abi {
namespace {

constexpr std::size_t key_file_bytes_max = 4096;
constexpr std::size_t raw_key_bytes = 32;

Result<std::string> first_line_of(const std::string& path) {
    SP_ASSIGN(const Bytes content, env::read_file(path, key_file_bytes_max));
    const std::string_view text = as_text(content);
    return std::string(text.substr(0, text.find_first_of("\r\n")));
}

Result<Bytes> read_raw_key(const std::string& path) {
    SP_ASSIGN(const std::string line, first_line_of(path));
    auto key = from_hex(line);
    if (!key || key->size() != raw_key_bytes) {
        return fail(Errc::invalid, "vault.bad_key_file",
                    path + " does not hold a key of 64 lower-case hex digits",
                    "give the key file that was used when the vault was made");
    }
    return key;
}

tl::unexpected<Error> key_needed(vault::Encryption encryption) {
    const bool file = encryption == vault::Encryption::keyfile;
    return fail(Errc::denied, "vault.key_needed",
                file ? "the vault is opened by a key file" : "the vault is opened by a passphrase",
                "give it with --key-file F or STILLPOINT_KEY_FILE");
}

Result<vault::KeyMaterial> key_for(vault::Encryption encryption, const std::string& key_file,
                                   const std::string& secret) {
    vault::KeyMaterial key;
    if (encryption == vault::Encryption::none) return key;
    if (encryption == vault::Encryption::keyfile) {
        if (key_file.empty()) return key_needed(encryption);
        SP_ASSIGN(key.raw_key, read_raw_key(key_file));
        return key;
    }
    key.passphrase = secret;
    if (!key_file.empty()) {
        SP_ASSIGN(key.passphrase, first_line_of(key_file));
    }
    if (key.passphrase.empty()) return key_needed(encryption);
    return key;
}

Status create_key_file(const env::Path& path) {
    if (std::filesystem::exists(path)) return {};
    const env::Path folder = std::filesystem::absolute(path).parent_path();
    return env::write_durably(std::filesystem::absolute(path),
                              as_bytes(env::random_hex(raw_key_bytes) + "\n"), 0600, folder);
}

vault::Encryption encryption_of(serialization::VaultEncryption encryption) {
    switch (encryption) {
        case serialization::VaultEncryption::passphrase:
            return vault::Encryption::passphrase;
        case serialization::VaultEncryption::keyfile:
            return vault::Encryption::keyfile;
        case serialization::VaultEncryption::none:
            return vault::Encryption::none;
    }
    return vault::Encryption::passphrase;
}

Result<vault::Compression> compression_of(const std::string& name) {
    if (name == "zstd") return vault::Compression::zstd;
    if (name == "lz4") return vault::Compression::lz4;
    if (name == "none") return vault::Compression::none;
    return fail(Errc::invalid, "vault.bad_compression", "`" + name + "` is no compression",
                "choose zstd, lz4 or none");
}

struct Secrets {
    std::string current, fresh;
};

Secrets split(const std::string& secrets) {
    const auto line = secrets.find('\n');
    if (line == std::string::npos) return {secrets, {}};
    return {secrets.substr(0, line), secrets.substr(line + 1)};
}

Result<vault::KeyMaterial> new_key_for(vault::Encryption encryption, const std::string& file,
                                       const std::string& secret) {
    if (encryption == vault::Encryption::keyfile && !file.empty()) {
        SP_TRY(create_key_file(file));
    }
    auto key = key_for(encryption, file, secret);
    if (key || key.error().id != "vault.key_needed") return key;
    return fail(Errc::denied, "vault.new_key_needed",
                encryption == vault::Encryption::keyfile
                    ? "no file for the new key was given"
                    : "no new passphrase was given, or the two that were "
                      "typed differ",
                "give it with --new-key-file F, or type it at a terminal");
}

vault::StoreOptions store_options(const JobContext& context, vault::HangingFiles hanging) {
    return {.watch = {context.config.store_stall, context.cancel},
            .hanging = hanging,
            .s3 = context.config.s3};
}

}  // namespace

Result<std::unique_ptr<vault::BlockStore>> open_store_for(const serialization::VaultAccess& access,
                                                          const JobContext& context,
                                                          vault::HangingFiles hanging) {
    return vault::open_store(access.url, store_options(context, hanging));
}

Result<OpenVault> open_vault_for(const serialization::VaultAccess& access,
                                 const JobContext& context, vault::HangingFiles hanging,
                                 Metadata metadata) {
    OpenVault open;
    vault::StoreOptions options = store_options(context, hanging);
    if (metadata == Metadata::may_be_cached) options.cache = context.config.cache_limits();
    SP_ASSIGN(open.store, vault::open_store(access.url, options));
    SP_ASSIGN(const vault::InitOptions config, vault::read_vault_config(*open.store));
    SP_ASSIGN(const vault::KeyMaterial key,
              key_for(config.encryption, access.key_file, context.secret));
    SP_ASSIGN(open.vault, vault::open_vault(*open.store, key, context.clock,
                                            {.data_deltas = context.config.data_deltas}));
    return open;
}

Result<KeyChange> change_keys(const serialization::VaultKeyRequest& request,
                              const JobContext& context) {
    using serialization::KeyAction;
    const Secrets given = split(context.secret);
    SP_ASSIGN(
        const auto store,
        vault::open_store(request.vault.url, store_options(context, vault::HangingFiles::wait)));
    SP_ASSIGN(const vault::InitOptions config, vault::read_vault_config(*store));
    SP_ASSIGN(vault::KeyMaterial key,
              key_for(config.encryption, request.vault.key_file, given.current));
    // Before a new key is asked for: does this one open it at all?
    SP_ASSIGN(const auto before, vault::list_keys(*store, key));
    KeyChange change;
    if (request.action == KeyAction::remove) {
        SP_TRY(vault::remove_key(*store, key, request.id));
        change.removed = request.id;
    }
    if (request.action == KeyAction::add || request.action == KeyAction::rotate) {
        SP_ASSIGN(const vault::KeyMaterial fresh,
                  new_key_for(config.encryption, request.new_key_file, given.fresh));
        if (request.action == KeyAction::add) {
            SP_ASSIGN(change.added, vault::add_key(*store, key, fresh));
        } else {
            const auto old = std::ranges::find(before, true, &vault::KeyInfo::opened);
            SP_ASSIGN(change.added, vault::rotate_key(*store, key, fresh));
            change.removed = old == before.end() ? "" : old->id;
            key = fresh;
        }
    }
    SP_ASSIGN(change.keys, vault::list_keys(*store, key));
    return change;
}

std::vector<serialization::UnreadablePoint> reported(
    const std::vector<vault::UnreadablePoint>& points) {
    std::vector<serialization::UnreadablePoint> report;
    report.reserve(points.size());
    for (const vault::UnreadablePoint& point : points) report.push_back({point.id, point.text});
    return report;
}

Status create_vault(const serialization::VaultInitRequest& request, const JobContext& context) {
    vault::InitOptions options;
    options.encryption = encryption_of(request.encryption);
    options.chunk_bytes = request.chunk_bytes;
    SP_ASSIGN(options.compression, compression_of(request.compression));
    if (options.encryption == vault::Encryption::keyfile && !request.key_file.empty()) {
        SP_TRY(create_key_file(request.key_file));
    }
    auto key = key_for(options.encryption, request.key_file, context.secret);
    if (!key && key.error().id == "vault.key_needed") {
        return fail(Errc::invalid, key.error().id, key.error().text, key.error().remedy);
    }
    if (!key) return fail(key.error());
    SP_ASSIGN(const auto store,
              vault::open_store(request.vault, store_options(context, vault::HangingFiles::wait)));
    if (request.vault.starts_with("s3://")) SP_TRY(vault::prove_store(*store));
    return vault::init_vault(*store, options, *key);
}

}  // namespace stillpoint::abi
