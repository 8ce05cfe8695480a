#include "vault/gc/gc.hpp"

#include <algorithm>

#include "vault/chunk_run.hpp"
#include "vault/gc/claim.hpp"
#include "vault/gc/forgotten.hpp"
#include "vault/gc/index_merge.hpp"
#include "vault/gc/plan.hpp"
#include "vault/gc/remove_packs.hpp"
#include "vault/gc/repack.hpp"
#include "vault/gc/waits.hpp"
#include "vault/marks.hpp"
#include "vault/object_names.hpp"
#include "vault/opened_vault.hpp"
#include "vault/pack_check.hpp"
#include "vault/point_copies.hpp"
#include "vault/point_record.hpp"

namespace stillpoint::vault::gc {
namespace {

// A process that slept longer than that in the middle of a backup is not waited for any more.
constexpr std::chrono::hours fences_kept{24 * 30};

class Collector {
public:
    Collector(std::shared_ptr<VaultCore> core, const GcOptions& options, const ProgressFn& progress,
              const env::CancelToken& cancel)
        : core_(std::move(core)), options_(options), progress_(progress), cancel_(cancel) {}

    Result<GcResult> run();

private:
    Status begin();
    Status claim();
    Status look_at_runs();
    Status look_at_forgotten();
    Result<Reach> walk_points(Reach reach);
    Status walk_forgotten(Reach& reach);
    Status walk_lost(Reach& reach);
    Status finish_marks(const Reach& reach);
    void note_waiting(const Mark& mark);
    Result<Plan> plan(const Reach& reach);
    Status condemn(const Plan& plan, Reach reach);
    Status sweep(const Mark& mark, const Reach& reach);
    Status delete_packs(const std::set<PackName>& packs);
    [[nodiscard]] bool matured(const Mark& mark) const;
    [[nodiscard]] bool only_plans() const { return options_.mode == GcMode::plan; }
    Status alive() {
        SP_TRY(cancel_.check());
        return run_ ? run_->lease().alive() : Status{};
    }

    std::shared_ptr<VaultCore> core_;
    const GcOptions& options_;
    const ProgressFn& progress_;
    const env::CancelToken& cancel_;
    std::unique_ptr<StoredChunks> chunks_;
    std::unique_ptr<ChunkRun> run_;  // our own; null where nothing is to be changed
    std::string id_;
    std::vector<RunState> live_;  // all but ours and the expired ones
    std::vector<Mark> marks_;     // of earlier gcs
    std::set<PointId> walked_;    // points that were walked
    std::set<PointId> nobodys_;   // forgotten points that no run can build on any more
    std::map<PackName, PackFacts> in_store_;
    GcResult result_;
};

Status Collector::begin() {
    SP_ASSIGN(chunks_, StoredChunks::open(core_));
    SP_TRY(chunks_->prove_index(cancel_));
    const auto damage = chunks_->index_damage();
    if (!damage.empty()) {
        return fail(Errc::corrupt, "gc.damage", damage.front(),
                    "nothing is deleted while the index is damaged: see `stillpoint vault check`");
    }
    return only_plans() ? Status{} : claim();
}

Status Collector::claim() {
    id_ = new_gc_id(core_->clock);
    SP_ASSIGN(run_, claim_alone(*chunks_, id_));
    return {};
}

/// Buries what expired and keeps in mind who lives. Before the points are listed: who has ended by
/// now has published by now.
Status Collector::look_at_runs() {
    live_.clear();
    SP_ASSIGN(const auto runs, list_runs(*core_));
    for (const RunState& run : runs) {
        if (run.id == id_) continue;
        if (!run.expired(core_->clock.wall())) {
            live_.push_back(run);
        } else if (!only_plans()) {
            SP_TRY(bury_run(*core_, run));
        }
    }
    return {};
}

/// A point that was forgotten is a root like any other while a run may build on it.
Status Collector::look_at_forgotten() {
    // Its copy comes before its end: one that is still a point can still be found.
    SP_ASSIGN(const auto forgotten, list_forgotten(*core_));
    SP_ASSIGN(const PointListing points, list_points(core_->store));
    const std::set<PointId> there{points.ids.begin(), points.ids.end()};
    SP_TRY(look_at_runs());  // afterwards: who begins now cannot find what is gone
    for (const Forgotten& point : forgotten) {
        if (there.contains(point.id) || may_be_built_on(point, live_)) continue;
        nobodys_.insert(point.id);
        // Whoever forgot it may have been killed just then: its end is durable before the end of
        // what it needed.
        if (!only_plans()) SP_TRY(core_->store.remove(point_object(point.id)));
    }
    return {};
}

bool Collector::matured(const Mark& mark) const {
    return std::none_of(live_.begin(), live_.end(),
                        [&](const RunState& run) { return mark.awaited.contains(run.id); });
}

Result<Reach> Collector::walk_points(Reach reach) {
    SP_ASSIGN(const PointListing listing, list_points(core_->store));
    std::uint64_t done = 0;
    for (const PointId& id : listing.ids) {
        SP_TRY(alive());
        if (progress_) progress_(done++, listing.ids.size());
        if (walked_.contains(id)) continue;
        const auto point = load_point(*core_, id);
        if (!point && point.error().code == Errc::not_found) continue;  // forgotten, or a fence
        if (!point && point.error().code != Errc::corrupt) return fail(point.error());
        if (!point) {
            return fail(Errc::corrupt, "gc.damage", point.error().text,
                        "nothing is deleted while a recovery point cannot be read: see "
                        "`stillpoint vault check`, and forget the point if it is lost");
        }
        SP_TRY(reach.add(*point, cancel_));
        walked_.insert(id);
        ++result_.points;
    }
    SP_TRY(walk_forgotten(reach));
    SP_TRY(walk_lost(reach));
    return reach;
}

/// Points that were lost and not forgotten may be brought back from their copies, so that what
/// those reach stays. A copy that cannot be read brings nothing back, and holds nothing.
Status Collector::walk_lost(Reach& reach) {
    SP_ASSIGN(const auto lost, lost_points(*core_));
    for (const PointId& id : lost) {
        SP_TRY(alive());
        if (!walked_.insert(id).second) continue;
        ++result_.lost_points;
        const auto point = load_copy(*core_, id);
        if (!point &&
            (point.error().code == Errc::corrupt || point.error().code == Errc::not_found)) {
            continue;
        }
        if (!point) return fail(point.error());
        const Status walked = reach.add(*point, cancel_);
        if (walked || walked.error().code != Errc::corrupt) {
            SP_TRY(walked);
            continue;
        }
        // The index may be lost as well: then all of it is there, and nothing is found.
        return fail(Errc::corrupt, "gc.damage", "lost " + walked.error().text,
                    "nothing is deleted: run `stillpoint vault repair`, and forget the point if it "
                    "is damaged even then");
    }
    return {};
}

/// After the points: one that is forgotten in between is in one of the two lists at least.
Status Collector::walk_forgotten(Reach& reach) {
    SP_ASSIGN(const auto forgotten, list_forgotten(*core_));
    for (const Forgotten& entry : forgotten) {
        SP_TRY(alive());
        if (nobodys_.contains(entry.id) || walked_.contains(entry.id)) continue;
        const auto point = load_forgotten(*core_, entry.id);
        const bool gone = !point && point.error().code == Errc::not_found;  // by another gc
        if (!point && !gone && point.error().code != Errc::corrupt) return fail(point.error());
        if (!point) {
            return fail(point.error().code, "gc.damage",
                        "forgotten recovery point " + entry.id + ": " + point.error().text,
                        "a running backup may build on it: run gc again when no backup runs");
        }
        SP_TRY(reach.add(*point, cancel_));
        walked_.insert(entry.id);
    }
    return {};
}

/// Deletes what earlier gcs condemned and nobody needs any more.
Status Collector::finish_marks(const Reach& reach) {
    for (const Mark& mark : marks_) {
        if (matured(mark)) {
            SP_TRY(sweep(mark, reach));
            continue;
        }
        note_waiting(mark);
    }
    return {};
}

void Collector::note_waiting(const Mark& mark) {
    result_.waiting_packs += mark.packs.size();
    for (const PackName& pack : mark.packs) {
        const auto found = in_store_.find(pack);
        if (found != in_store_.end()) result_.waiting_bytes += found->second.bytes;
    }
    for (const RunState& run : live_) {
        if (mark.awaited.contains(run.id)) result_.waiting_for.insert(run.id);
    }
}

/// @param reach every point that may need one of the mark's packs was walked into it
Status Collector::sweep(const Mark& mark, const Reach& reach) {
    std::set<PackName> gone;
    for (const PackName& pack : mark.packs) {
        if (reach.needs(pack)) {
            ++result_.rescued_packs;  // by a backup that was under way when it was condemned
        } else {
            gone.insert(pack);
        }
    }
    SP_TRY(delete_packs(gone));
    return remove_mark(*core_, mark);
}

Status Collector::delete_packs(const std::set<PackName>& packs) {
    if (packs.empty()) return {};
    SP_TRY(alive());
    SP_TRY(rewrite_index(*core_, packs));
    SP_TRY(remove_packs(core_->store, {packs.begin(), packs.end()}, [this] { return alive(); }));
    for (const PackName& pack : packs) {
        const auto found = in_store_.find(pack);
        if (found == in_store_.end()) continue;
        ++result_.freed_packs;
        result_.freed_bytes += found->second.bytes;
    }
    return {};
}

Result<Plan> Collector::plan(const Reach& reach) {
    PlanInput input{.packs = {},
                    .reach = reach,
                    .condemned = {},
                    .live = live_,
                    .repack_below_percent = options_.repack_below_percent};
    SP_ASSIGN(const Marks marks, load_marks(*core_));
    input.condemned = marks.packs;
    for (auto& [name, facts] : in_store_) {
        if (reach.needs(name)) {
            SP_ASSIGN(const auto directory, chunks_->directory(name));
            facts.records = static_cast<std::uint32_t>(directory->entries.size());
        }
        input.packs.push_back(facts);
    }
    return plan_packs(input);
}

/// Copies what is needed of sparse packs, condemns them and the dead ones, and deletes at once
/// what no running backup can want.
Status Collector::condemn(const Plan& plan, Reach reach) {
    SP_ASSIGN(result_.written_bytes, repack(*chunks_, *run_, plan.sparse, reach, cancel_));
    std::vector<PackName> packs;
    for (const auto* group : {&plan.dead, &plan.sparse}) {
        for (const PackFacts& pack : *group) packs.push_back(pack.name);
    }
    if (packs.empty()) return {};
    SP_TRY(alive());
    SP_ASSIGN(const Mark mark, put_mark(*core_, packs, id_));
    SP_TRY(look_at_runs());
    if (!matured(mark)) {
        note_waiting(mark);
        return {};
    }
    // A point that appeared since the walk may need a pack that was not condemned then.
    SP_TRY(chunks_->refresh());
    SP_ASSIGN(const Reach since, walk_points(std::move(reach).later()));
    return sweep(mark, since);
}

Result<GcResult> Collector::run() {
    SP_TRY(begin());
    if (!only_plans()) {
        SP_ASSIGN(marks_, load_waiting_marks(*core_, id_));
    }
    SP_TRY(look_at_forgotten());
    SP_ASSIGN(const auto packs, core_->store.list(names::packs));
    for (const ObjectInfo& object : packs) {
        const auto name = PackName::parse_object(object.name);
        if (name) in_store_[*name] = {*name, object.size.raw(), object.modified_ns, 0};
        result_.bytes_before += object.size.raw();
    }
    SP_ASSIGN(Reach reach, walk_points(Reach{*chunks_}));
    SP_ASSIGN(const Plan chosen, plan(reach));
    for (const PackFacts& pack : chosen.dead) result_.dead_bytes += pack.bytes;
    for (const PackFacts& pack : chosen.sparse) result_.sparse_bytes += pack.bytes;
    for (const PackFacts& pack : chosen.young) result_.young_bytes += pack.bytes;
    result_.dead_packs = chosen.dead.size();
    result_.sparse_packs = chosen.sparse.size();
    if (only_plans()) return result_;
    SP_TRY(finish_marks(reach));
    SP_TRY(condemn(chosen, std::move(reach)));
    for (const PointId& id : nobodys_) SP_TRY(remove_forgotten(*core_, id));
    SP_TRY(tidy_index(*core_));
    SP_TRY(remove_old_fences(*core_, id_, fences_kept));
    run_->end();
    return result_;
}

}  // namespace

Result<GcResult> collect(std::shared_ptr<VaultCore> core, const GcOptions& options,
                         const ProgressFn& progress, const env::CancelToken& cancel) {
    return Collector{std::move(core), options, progress, cancel}.run();
}

}  // namespace stillpoint::vault::gc
