#include "vault/sealed_object.hpp"

#include <algorithm>

#include "base/check.hpp"
#include "vault/object_header.hpp"

namespace stillpoint::vault {
namespace {

constexpr std::string_view magic = "STPT";
constexpr std::uint8_t object_version = 1;

tl::unexpected<Error> damaged(const std::string& text) {
    return fail(Errc::corrupt, "vault.object_damaged", text);
}

}  // namespace

void write_object_header(Bytes& out, ObjectKind kind, const Salt& salt) {
    ByteWriter{out}
        .raw(as_bytes(magic))
        .u8(static_cast<std::uint8_t>(kind))
        .u8(object_version)
        .u16(0)
        .raw(salt);
}

Result<Salt> read_object_header(ByteView bytes, ObjectKind kind) {
    ByteReader reader{bytes.first(std::min(bytes.size(), object_header_bytes))};
    Bytes expected;
    Salt salt{};
    write_object_header(expected, kind, salt);
    const auto head = reader.take(expected.size() - salt.size());
    const auto tail = reader.take(salt.size());
    if (!head || !tail || !std::equal(head->begin(), head->end(), expected.begin())) {
        return damaged("the header is not that of an object of this kind");
    }
    std::copy(tail->begin(), tail->end(), salt.begin());
    return salt;
}

Salt random_salt(const RandomSource& random) {
    const Bytes bytes = random(std::tuple_size_v<Salt>);
    Salt salt{};
    SP_CHECK(bytes.size() == salt.size());
    std::copy(bytes.begin(), bytes.end(), salt.begin());
    return salt;
}

Bytes associated_data(const VaultId& vault, ObjectKind kind, ByteView subject) {
    Bytes out;
    out.reserve(vault.size() + 1 + subject.size());
    ByteWriter{out}.raw(vault).u8(static_cast<std::uint8_t>(kind)).raw(subject);
    return out;
}

Bytes seal_object(const VaultCore& core, ObjectKind kind, const std::string& name,
                  ByteView plaintext) {
    SP_CHECK(plaintext.size() <= sealed_object_bytes_max);
    const Salt salt = random_salt(core.random);
    Bytes out;
    out.reserve(object_header_bytes + plaintext.size() + chunk::seal_overhead_bytes);
    write_object_header(out, kind, salt);
    out.resize(out.size() + plaintext.size() + chunk::seal_overhead_bytes);
    core.keys.object_key(kind, salt)
        .seal(0, associated_data(core.keys.vault_id(), kind, as_bytes(name)), plaintext,
              std::span{out}.subspan(object_header_bytes));
    return out;
}

Result<Bytes> open_object(const VaultCore& core, ObjectKind kind, const std::string& name,
                          ByteView sealed) {
    const auto salt = read_object_header(sealed, kind);
    if (!salt) return fail(in_step(name, salt.error()));
    auto opened = core.keys.object_key(kind, *salt)
                      .open(0, associated_data(core.keys.vault_id(), kind, as_bytes(name)),
                            sealed.subspan(object_header_bytes));
    if (!opened) return damaged(name + " is not what was written for this vault");
    return std::move(*opened);
}

Result<std::uint64_t> put_object(const VaultCore& core, ObjectKind kind, const std::string& name,
                                 ByteView plaintext) {
    const Bytes sealed = seal_object(core, kind, name, plaintext);
    SP_TRY(core.store.put(name, sealed));
    return sealed.size();
}

namespace {

// A few points have more: large documents of VMs.
constexpr ByteCount most_objects{256u << 10};

Result<Bytes> get_once(const VaultCore& core, ObjectKind kind, const std::string& name) {
    SP_ASSIGN(ObjectEnd object, core.store.get_end(name, most_objects));
    if (object.size.raw() > object_bytes_of(sealed_object_bytes_max)) {
        return damaged(name + " is larger than any object of its kind");
    }
    if (!object.is_whole()) {
        SP_ASSIGN(object.bytes, core.store.get(name, ByteOffset{0}, object.size));
    }
    return open_object(core, kind, name, object.bytes);
}

}  // namespace

Result<Bytes> get_object(const VaultCore& core, ObjectKind kind, const std::string& name) {
    const auto read = [&] {
        return read_proven(core.store, name, [&] { return get_once(core, kind, name); });
    };
    auto object = read();
    if (!object && object.error().code == Errc::corrupt) object = read();
    return object;
}

}  // namespace stillpoint::vault
