#pragma once
#include <memory>
#include <string>

#include "abi/handlers.hpp"
#include "serialization/requests.hpp"
#include "serialization/unreadable.hpp"
#include "vault/vault.hpp"

namespace stillpoint::abi {

/// An open vault and the store under it.
struct OpenVault {
    std::unique_ptr<vault::BlockStore> store;
    std::unique_ptr<vault::Vault> vault;  // declared last: destroyed before its store
};

/// The store alone, for what needs no key. @errors as vault::open_store
[[nodiscard]] Result<std::unique_ptr<vault::BlockStore>> open_store_for(
    const serialization::VaultAccess& access, const JobContext& context,
    vault::HangingFiles hanging);

/// Whether metadata that this host has read or written before may stand in for what the store has.
enum class Metadata { from_store, may_be_cached };

/// Opens with the key file, or with the secret (a passphrase) when there is none.
/// @param hanging what to do about a file store that hangs; an object store's waits always end
/// @errors denied, id "vault.key_needed" or "vault.wrong_key" · invalid, id "vault.bad_key_file" ·
///         not_found, id "vault.missing"
[[nodiscard]] Result<OpenVault> open_vault_for(
    const serialization::VaultAccess& access, const JobContext& context,
    vault::HangingFiles hanging = vault::HangingFiles::wait,
    Metadata metadata = Metadata::from_store);

struct KeyChange {
    std::vector<vault::KeyInfo> keys;  // as they are afterwards
    std::string added, removed;        // ids; empty: none was
};
/// Lists or changes the keys that open a vault.
/// The job's secret is the passphrase and, after a line feed, the new one; each only where no file
/// is named.
/// @errors as open_vault_for · as vault::add_key and remove_key · denied, id "vault.new_key_needed"
[[nodiscard]] Result<KeyChange> change_keys(const serialization::VaultKeyRequest& request,
                                            const JobContext& context);

/// For a report. One that names some ends with exit_damage.
[[nodiscard]] std::vector<serialization::UnreadablePoint> reported(
    const std::vector<vault::UnreadablePoint>& points);

/// Creates a vault; with `keyfile` the file is created (0600, 64 hex digits) when absent.
[[nodiscard]] Status create_vault(const serialization::VaultInitRequest& request,
                                  const JobContext& context);

}  // namespace stillpoint::abi
