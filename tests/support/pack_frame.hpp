#pragma once
#include "vault/object_header.hpp"
#include "vault/pack_reader.hpp"
#include "vault/sealed_object.hpp"

namespace stillpoint::test {

/// Bytes of a pack's object that its records and their entries in the directory take: not its
/// header, padding and trailer, which every pack has.
inline std::uint64_t record_share(const vault::VaultCore& core, const vault::ObjectInfo& object) {
    vault::PackReader reader{core};
    const auto name = vault::PackName::parse_object(object.name).value();
    const auto directory = reader.directory(name).value();
    const std::uint64_t padding = directory->padding_bytes - chunk::seal_overhead_bytes;
    return object.size.raw() - vault::object_header_bytes - padding - vault::pack_end_bytes(0);
}

}  // namespace stillpoint::test
