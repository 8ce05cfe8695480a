#include "vault/gc/forgotten.hpp"

#include <algorithm>

#include "vault/object_names.hpp"
#include "vault/point_copies.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault::gc {
namespace {

std::string forgotten_object(const PointId& id) {
    return names::forgotten + id;
}

Status keep_for_gc(const VaultCore& core, const PointId& id) {
    auto bytes = get_object(core, ObjectKind::point, point_object(id));
    if (!bytes || !decode_point(*bytes)) bytes = load_copy_content(core, id);
    if (!bytes && bytes.error().code != Errc::corrupt && bytes.error().code != Errc::not_found) {
        return fail(bytes.error());
    }
    if (!bytes) return {};
    const auto put = put_object(core, ObjectKind::point, forgotten_object(id), *bytes);
    if (put || put.error().id == "store.exists") return {};  // an earlier try got so far
    return fail(put.error());
}

}  // namespace

Status forget_point(const VaultCore& core, const PointId& id) {
    SP_TRY(keep_for_gc(core, id));
    SP_TRY(core.store.remove(point_object(id)));
    SP_TRY(unmark_recovered(core, id));
    return remove_copy(core, id);  // last: whoever finds it without the point finds the mark
}

Result<std::vector<Forgotten>> list_forgotten(const VaultCore& core) {
    SP_ASSIGN(const auto objects, core.store.list(names::forgotten));
    std::vector<Forgotten> points;
    for (const ObjectInfo& object : objects) {
        PointId id = object.name.substr(std::string_view{names::forgotten}.size());
        if (is_point_id(id)) points.push_back({std::move(id), object.modified_ns});
    }
    return points;
}

Result<Point> load_forgotten(const VaultCore& core, const PointId& id) {
    SP_ASSIGN(const Bytes bytes, get_object(core, ObjectKind::point, forgotten_object(id)));
    return decode_point(bytes);
}

Status remove_forgotten(const VaultCore& core, const PointId& id) {
    SP_TRY(remove_copy(core, id));  // of a forget that was interrupted
    return core.store.remove(forgotten_object(id));
}

bool may_be_built_on(const Forgotten& point, const std::vector<RunState>& live) {
    const auto margin = static_cast<std::uint64_t>(env::Nanoseconds{clock_skew_max}.count());
    return std::any_of(live.begin(), live.end(), [&](const RunState& run) {
        return point.since_ns == 0 || run.started_ns == 0 ||
               run.started_ns < point.since_ns + margin;
    });
}

}  // namespace stillpoint::vault::gc
