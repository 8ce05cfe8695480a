#pragma once
#include <set>
#include <string>
#include <vector>

#include "vault/gc/live_runs.hpp"
#include "vault/pack_format.hpp"

/// Marks of condemned packs and the runs that each one waits for.
namespace stillpoint::vault::gc {

/// `condemned/<id>` and `waits/<id>`.
struct Mark {
    std::string id;
    std::vector<PackName> packs;
    std::set<std::string> awaited;  // ids of runs that were alive once the mark was durable
};

/// @return the plaintext of a waits object
[[nodiscard]] Bytes encode_waits(const std::set<std::string>& runs);
/// @errors corrupt, id "vault.waits_damaged"
[[nodiscard]] Result<std::set<std::string>> decode_waits(ByteView plaintext);

/// Condemns packs: the mark is durable before the runs are listed, so that every run that does not
/// know of it is awaited. @param self the gc's own run, which is not awaited
[[nodiscard]] Result<Mark> put_mark(const VaultCore& core, const std::vector<PackName>& packs,
                                    const std::string& self);

/// All marks. One whose waits were never written (its gc died) gets them now, from `runs`, which
/// was listed after the marks; a waits object that cannot be read is replaced likewise.
/// A mark that cannot be read is removed: it condemned nothing.
/// @errors io and the like
[[nodiscard]] Result<std::vector<Mark>> load_waiting_marks(const VaultCore& core,
                                                           const std::string& self);

/// Withdraws a mark: its packs, if they still exist, are like any others again.
[[nodiscard]] Status remove_mark(const VaultCore& core, const Mark& mark);

}  // namespace stillpoint::vault::gc
