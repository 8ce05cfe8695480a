// Records of the block map: what is accepted encodes back to the same bytes, and a delta over any
// base gives a node that does, too.
#include "fuzz.hpp"
#include "vault/map_delta.hpp"
#include "vault/map_node.hpp"

namespace stillpoint::fuzz {
namespace {

using namespace vault;

void check_delta(const DeltaNode& delta) {
    MapNode base{delta.level, delta.changed.slots()};
    base.append(0, delta.base);
    base.append(delta.changed.slots() - 1, delta.base);
    const auto node = apply(delta, base);
    const auto undone = undo_map_delta(encode(delta), delta.base, encode(base));
    SP_CHECK(undone.has_value() == node.has_value() && (!node || *undone == encode(*node)));
    if (!node) return;
    SP_CHECK(std::get<MapNode>(*decode_node(encode(*node))) == *node);
}

}  // namespace

void fuzz_one(ByteView input) {
    if (const auto node = decode_node(input)) {
        const Bytes again = std::visit([](const auto& record) { return encode(record); }, *node);
        SP_CHECK(again == to_bytes(input));
        if (const auto* delta = std::get_if<DeltaNode>(&*node)) check_delta(*delta);
    }
    if (const auto root = decode_root(input)) SP_CHECK(encode(*root) == to_bytes(input));
}

}  // namespace stillpoint::fuzz
