#pragma once
#include <string>
#include <vector>

#include "restore/restore.hpp"
#include "route/services.hpp"
#include "serialization/reports.hpp"
#include "vault/vault.hpp"

/// The spine of a restore and of a verification: every disk is proven against its root (I8).
namespace stillpoint::route {

enum class WithConfiguration { yes, no };

struct RestoreRequestPlan {
    std::string point;  // id, prefix or VM@latest
    env::Path to;
    std::vector<std::string> disks;  // empty: all
    restore::Format format = restore::Format::qcow2;
    WithConfiguration configuration = WithConfiguration::yes;
};

/// Writes `to/<disk>.<format>` for every disk, `to/domain.xml`, and the files of the VM's
/// configuration (`to/nvram.fd`, `to/tpm/…`). A file that is there already must be the same.
/// @return ok, or the damage found; damaged disks stay under `<file>.incomplete`
[[nodiscard]] Result<serialization::CheckReport> run_restore(vault::Vault& vault,
                                                             const RestoreRequestPlan& plan,
                                                             const env::Clock& clock,
                                                             Reporter& reporter,
                                                             const env::CancelToken& cancel);

struct VerifyPlan {
    std::string point;
    std::string disk;     // empty: all; needed with `against` when the point has several
    std::string against;  // a raw or qcow2 file; empty: the point in itself
};

[[nodiscard]] Result<serialization::CheckReport> run_verify(vault::Vault& vault,
                                                            const VerifyPlan& plan,
                                                            const env::Clock& clock,
                                                            Reporter& reporter,
                                                            const env::CancelToken& cancel);

}  // namespace stillpoint::route
