#pragma once
#include <memory>
#include <optional>
#include <string>

#include "serialization/requests.hpp"
#include "vault/vault.hpp"

namespace stillpoint::abi {

/// An open vault and the store under it.
struct OpenVault {
    std::unique_ptr<vault::BlockStore> store;
    std::unique_ptr<vault::Vault> vault;  // declared last: destroyed before its store
};

/// Opens with the key file, or with the secret (a passphrase) when there is none.
/// @param watch bounds every wait for the store; nullopt: a call may take for ever
/// @errors denied, id "vault.key_needed" or "vault.wrong_key" · invalid, id "vault.bad_key_file" ·
///         not_found, id "vault.missing"
[[nodiscard]] Result<OpenVault> open_vault_for(const serialization::VaultAccess& access,
                                               const std::string& secret, const env::Clock& clock,
                                               const std::optional<vault::StoreWatch>& watch = {});

struct KeyChange {
    std::vector<vault::KeyInfo> keys;  // as they are afterwards
    std::string added, removed;        // ids; empty: none was
};
/// Lists or changes the keys that open a vault.
/// @param secrets the passphrase and, after a line feed, the new one; each only where no file is
/// named
/// @errors as open_vault_for · as vault::add_key and remove_key · denied, id "vault.new_key_needed"
[[nodiscard]] Result<KeyChange> change_keys(const serialization::VaultKeyRequest& request,
                                            const std::string& secrets);

/// Creates a vault; with `keyfile` the file is created (0600, 64 hex digits) when absent.
[[nodiscard]] Status create_vault(const serialization::VaultInitRequest& request,
                                  const std::string& secret);

}  // namespace stillpoint::abi
