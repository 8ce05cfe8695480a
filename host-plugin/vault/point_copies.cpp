#include "vault/point_copies.hpp"

#include <algorithm>

#include "vault/object_names.hpp"
#include "vault/point_record.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::vault {
namespace {

std::string recovered_object(const PointId& id) {
    return names::recovered + id;
}

/// Ids of the objects below a prefix; what is not named like a point is somebody else's.
Result<std::vector<PointId>> ids_below(const VaultCore& core, const std::string& prefix) {
    SP_ASSIGN(const auto objects, core.store.list(prefix));
    std::vector<PointId> ids;
    for (const ObjectInfo& object : objects) {
        PointId id = object.name.substr(prefix.size());
        if (is_point_id(id)) ids.push_back(std::move(id));
    }
    return ids;
}

}  // namespace

std::string copy_object(const PointId& id) {
    return names::copies + id;
}

Status put_copy(const VaultCore& core, const PointId& id, ByteView content) {
    const auto put = put_object(core, ObjectKind::point, copy_object(id), content);
    if (put || put.error().id == "store.exists") return {};
    return fail(put.error());
}

Result<Bytes> load_copy_content(const VaultCore& core, const PointId& id) {
    auto content = get_object(core, ObjectKind::point, copy_object(id));
    if (!content) return fail(in_step("the copy of recovery point " + id, content.error()));
    const auto point = decode_point(*content);
    if (point && point->id == id) return content;
    return fail(Errc::corrupt, "point.damaged",
                "object " + copy_object(id) + " holds no copy of its recovery point");
}

Result<Point> load_copy(const VaultCore& core, const PointId& id) {
    SP_ASSIGN(const Bytes content, load_copy_content(core, id));
    return decode_point(content);
}

Status remove_copy(const VaultCore& core, const PointId& id) {
    return core.store.remove(copy_object(id));
}

Result<std::vector<PointId>> list_copies(const VaultCore& core) {
    return ids_below(core, names::copies);
}

// The copies are listed first: each was made after its point appeared, so that a point which is
// missing from the later lists is gone, and one that is being forgotten is in one of them at least.
Result<std::vector<PointId>> lost_points(const VaultCore& core) {
    SP_ASSIGN(const auto copies, list_copies(core));
    if (copies.empty()) return std::vector<PointId>{};
    SP_ASSIGN(const auto points, ids_below(core, names::points));
    SP_ASSIGN(const auto forgotten, ids_below(core, names::forgotten));
    const auto among = [](const std::vector<PointId>& ids, const PointId& id) {
        return std::binary_search(ids.begin(), ids.end(), id);
    };
    std::vector<PointId> lost;
    for (const PointId& id : copies) {
        if (!among(points, id) && !among(forgotten, id)) lost.push_back(id);
    }
    return lost;
}

Status mark_recovered(const VaultCore& core, const PointId& id) {
    const auto put = put_object(core, ObjectKind::point, recovered_object(id), encode_fence(id));
    if (put || put.error().id == "store.exists") return {};
    return fail(put.error());
}

Result<bool> is_recovered(const VaultCore& core, const PointId& id) {
    const auto size = core.store.size(recovered_object(id));
    if (size) return true;
    if (size.error().code == Errc::not_found) return false;
    return fail(size.error());
}

Result<std::vector<PointId>> list_recovered(const VaultCore& core) {
    return ids_below(core, names::recovered);
}

Status unmark_recovered(const VaultCore& core, const PointId& id) {
    return core.store.remove(recovered_object(id));
}

}  // namespace stillpoint::vault
