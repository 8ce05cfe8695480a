// The recovery point's record: what is accepted encodes back to the same bytes.
#include "fuzz.hpp"
#include "vault/point_record.hpp"

namespace stillpoint::fuzz {

void fuzz_one(ByteView input) {
    const auto point = vault::decode_point(input);
    if (!point) return;
    SP_CHECK(vault::encode_point(*point).value() == to_bytes(input));
    for (const auto& disk : point->disks) SP_CHECK(vault::is_disk_name(disk.disk));
}

}  // namespace stillpoint::fuzz
