#include "vault/gc/waits.hpp"

#include <algorithm>

#include "env/random.hpp"
#include "vault/marks.hpp"
#include "vault/object_names.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault::gc {
namespace {

constexpr std::uint32_t awaited_max = 100'000;  // runs at once in one vault
constexpr std::size_t run_id_bytes_max = 64;

std::string mark_object(const std::string& id) {
    return names::condemned + id;
}

std::string waits_object(const std::string& id) {
    return names::waits + id;
}

Result<std::set<std::string>> runs_but(const VaultCore& core, const std::string& self) {
    SP_ASSIGN(const auto runs, list_runs(core));
    std::set<std::string> ids;
    for (const RunState& run : runs) {
        if (run.id != self) ids.insert(run.id);
    }
    return ids;
}

Result<std::set<std::string>> put_waits(const VaultCore& core, const std::string& id,
                                        const std::string& self) {
    SP_ASSIGN(auto awaited, runs_but(core, self));
    const auto put = put_object(core, ObjectKind::waits, waits_object(id), encode_waits(awaited));
    if (!put) return fail(put.error());
    return awaited;
}

bool unreadable(const Error& error) {
    return error.code == Errc::corrupt;
}

Result<std::set<std::string>> load_waits(const VaultCore& core, const std::string& id,
                                         const std::string& self) {
    const auto plaintext = get_object(core, ObjectKind::waits, waits_object(id));
    auto waits = plaintext ? decode_waits(*plaintext)
                           : Result<std::set<std::string>>{fail(plaintext.error())};
    if (waits) return waits;
    if (unreadable(waits.error())) SP_TRY(core.store.remove(waits_object(id)));
    if (!unreadable(waits.error()) && waits.error().code != Errc::not_found) return waits;
    // Later than the mark by any time is right too: who began since then knows of the mark.
    return put_waits(core, id, self);
}

/// Left by a gc that died between removing a mark and its waits.
Status remove_lone_waits(const VaultCore& core, const std::vector<Mark>& marks) {
    SP_ASSIGN(const auto objects, core.store.list(names::waits));
    for (const ObjectInfo& object : objects) {
        const bool known = std::any_of(marks.begin(), marks.end(), [&](const Mark& mark) {
            return waits_object(mark.id) == object.name;
        });
        if (!known) SP_TRY(core.store.remove(object.name));
    }
    return {};
}

}  // namespace

Bytes encode_waits(const std::set<std::string>& runs) {
    Bytes out;
    ByteWriter writer{out};
    writer.u32(static_cast<std::uint32_t>(runs.size()));
    for (const std::string& run : runs) writer.sized(as_bytes(run));
    return out;
}

Result<std::set<std::string>> decode_waits(ByteView plaintext) {
    const auto damaged = [] {
        return fail(Errc::corrupt, "vault.waits_damaged", "a list of awaited runs is damaged");
    };
    ByteReader reader{plaintext};
    const auto count = reader.u32();
    if (!count || *count > awaited_max) return damaged();
    std::set<std::string> runs;
    for (std::uint32_t at = 0; at < *count; ++at) {
        const auto run = reader.sized(run_id_bytes_max);
        if (!run) return damaged();
        runs.emplace(as_text(*run));
    }
    if (!reader.finish() || runs.size() != *count) return damaged();
    return runs;
}

Result<Mark> put_mark(const VaultCore& core, const std::vector<PackName>& packs,
                      const std::string& self) {
    Mark mark{env::uuid7(core.clock), packs, {}};
    SP_TRY(put_object(core, ObjectKind::condemned, mark_object(mark.id), encode_mark(packs)));
    SP_ASSIGN(mark.awaited, put_waits(core, mark.id, self));
    return mark;
}

Result<std::vector<Mark>> load_waiting_marks(const VaultCore& core, const std::string& self) {
    SP_ASSIGN(const auto objects, core.store.list(names::condemned));
    std::vector<Mark> marks;
    for (const ObjectInfo& object : objects) {
        Mark mark{object.name.substr(std::string_view{names::condemned}.size()), {}, {}};
        const auto plaintext = get_object(core, ObjectKind::condemned, object.name);
        auto packs = plaintext ? decode_mark(*plaintext)
                               : Result<std::vector<PackName>>{fail(plaintext.error())};
        if (!packs && packs.error().code == Errc::not_found) continue;  // withdrawn meanwhile
        if (!packs && !unreadable(packs.error())) return fail(packs.error());
        if (!packs) {
            SP_TRY(remove_mark(core, mark));
            continue;
        }
        mark.packs = std::move(*packs);
        SP_ASSIGN(mark.awaited, load_waits(core, mark.id, self));
        marks.push_back(std::move(mark));
    }
    SP_TRY(remove_lone_waits(core, marks));
    return marks;
}

Status remove_mark(const VaultCore& core, const Mark& mark) {
    // The mark first: waits without a mark mean nothing, a mark without waits waits anew.
    SP_TRY(core.store.remove(mark_object(mark.id)));
    return core.store.remove(waits_object(mark.id));
}

}  // namespace stillpoint::vault::gc
