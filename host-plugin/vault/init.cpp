#include "vault/init.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "base/hex.hpp"
#include "env/random.hpp"
#include "vault/key_slots.hpp"
#include "vault/object_names.hpp"

namespace stillpoint::vault {
namespace {

Status check_material(Encryption encryption, const KeyMaterial& key) {
    const bool fits = encryption == Encryption::none ? key.passphrase.empty() && key.raw_key.empty()
                      : encryption == Encryption::passphrase
                          ? !key.passphrase.empty()
                          : key.raw_key.size() == chunk::SecretKey::bytes;
    if (fits) return {};
    return fail(Errc::invalid, "vault.key_invalid",
                "the key given does not fit the encryption asked for",
                "none: no key; passphrase: a passphrase; keyfile: 64 hex digits");
}

Status check_options(const InitOptions& options) {
    const std::uint32_t bytes = options.chunk_bytes;
    if (bytes < limits::chunk_bytes_min || bytes > limits::chunk_bytes_max ||
        (bytes & (bytes - 1)) != 0) {
        return fail(Errc::invalid, "vault.chunk_bytes",
                    "a chunk of " + std::to_string(bytes) + " bytes is not possible",
                    "a power of two between 16384 and 1048576");
    }
    return {};
}

Status check_empty(BlockStore& store) {
    const auto config = store.size(names::config);
    if (!config && config.error().code != Errc::not_found) return fail(config.error());
    SP_ASSIGN(const auto packs, store.list(names::packs));
    if (!config && packs.empty()) return {};
    return fail(Errc::busy, "vault.exists", "there is a vault at " + store.describe() + " already",
                "choose another place");
}

}  // namespace

Status init_vault(BlockStore& store, const InitOptions& options, const KeyMaterial& key,
                  const RandomSource& random) {
    SP_TRY(check_options(options));
    SP_TRY(check_material(options.encryption, key));
    SP_TRY(check_empty(store));
    VaultConfig config;
    const Bytes id = random(config.id.size());
    std::copy(id.begin(), id.end(), config.id.begin());
    config.encryption = options.encryption;
    config.compression = options.compression;
    config.chunk_bytes = options.chunk_bytes;
    Bytes fresh = random(chunk::SecretKey::bytes);
    SP_ASSIGN(const auto master, chunk::SecretKey::from(fresh));
    chunk::wipe(fresh);
    if (config.encryption == Encryption::none) config.open_key = to_hex(master.view());

    // The key slot goes first and `config` last: without `config` there is no vault, with it the
    // vault is whole. A slot left by a crash names another config and is never asked.
    std::string slot;
    if (config.encryption != Encryption::none) {
        SP_ASSIGN(const DecodedConfig written, decode_config(encode_config(config)));
        SP_ASSIGN(slot, put_key_slot(store, written, master, key, random));
    }
    const Status put = store.put(names::config, encode_config(config));
    if (put) return {};
    // After any other failure `config` may be there all the same: the slot must stay.
    if (put.error().id == "store.exists") {
        if (!slot.empty()) (void)store.remove(slot);  // harmless when it stays, see above
        return fail(Errc::busy, "vault.exists",
                    "somebody made a vault at " + store.describe() + " at the same moment");
    }
    return put;
}

Status prove_store(BlockStore& store) {
    const std::string folder = names::probe;
    const std::string name = folder + env::random_hex(8);
    SP_TRY(store.put(name, as_bytes("first")));
    const Status again = store.put(name, as_bytes("second"));
    const auto listed = store.list(folder);
    (void)store.remove(name);  // where we may only add it stays, and harms nothing
    if (!again && again.error().id != "store.exists") return again;
    SP_TRY(listed);
    const bool seen = std::any_of(listed->begin(), listed->end(),
                                  [&](const ObjectInfo& object) { return object.name == name; });
    if (!again && seen) return {};
    return fail(Errc::unsupported, "vault.store_unsafe",
                "the store " + store.describe() +
                    (again ? " lets an object be overwritten although it was asked not to"
                           : " does not list an object that it has just taken"),
                "use one that knows conditional writes (If-None-Match); docs/stores.md names some");
}

Status init_vault(BlockStore& store, const InitOptions& options, const KeyMaterial& key) {
    return init_vault(store, options, key, env::random_bytes);
}

Result<InitOptions> read_vault_config(BlockStore& store) {
    SP_ASSIGN(const DecodedConfig decoded, load_config(store));
    return InitOptions{decoded.config.encryption, decoded.config.compression,
                       decoded.config.chunk_bytes};
}

}  // namespace stillpoint::vault
