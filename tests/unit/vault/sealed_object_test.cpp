#include "vault/sealed_object.hpp"

#include <doctest/doctest.h>

#include "fakes/fault_store.hpp"
#include "support/vault_lab.hpp"
#include "vault_fixture.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::TestVault;

TEST_CASE("vault/object: opens as what it was sealed as, and as nothing else") {
    TestVault vault, other;
    const Bytes sealed =
        seal_object(*vault.core, ObjectKind::point, "points/a", as_bytes("content"));
    const auto open = [&](const TestVault& in, ObjectKind kind, const std::string& name) {
        return open_object(*in.core, kind, name, sealed);
    };
    CHECK(as_text(open(vault, ObjectKind::point, "points/a").value()) == "content");
    CHECK(open(vault, ObjectKind::point, "points/b").error().id == "vault.object_damaged");
    CHECK(open(vault, ObjectKind::run, "points/a").error().id == "vault.object_damaged");
    CHECK(open(other, ObjectKind::point, "points/a").error().code == Errc::corrupt);
}

TEST_CASE("vault/object: any changed or missing byte is damage") {
    TestVault vault;
    const Bytes sealed = seal_object(*vault.core, ObjectKind::run, "runs/a", as_bytes("content"));
    for (std::size_t at = 0; at < sealed.size(); ++at) {
        Bytes changed = sealed;
        changed[at] ^= std::byte{1};
        CHECK(open_object(*vault.core, ObjectKind::run, "runs/a", changed).error().code ==
              Errc::corrupt);
        const ByteView cut = ByteView{sealed}.first(at);
        CHECK(open_object(*vault.core, ObjectKind::run, "runs/a", cut).error().code ==
              Errc::corrupt);
    }
}

TEST_CASE("vault/object: equal content is sealed under another key each time") {
    TestVault vault;
    const auto sealed = [&] {
        return seal_object(*vault.core, ObjectKind::run, "runs/a", as_bytes("content"));
    };
    const Bytes first = sealed();
    const Bytes second = sealed();
    CHECK(first != second);
    CHECK(first.size() == object_header_bytes + 7 + chunk::seal_overhead_bytes);
}

TEST_CASE("vault/object: put and get; what is absent is not_found, not damage") {
    TestVault vault;
    CHECK(put_object(*vault.core, ObjectKind::point, "points/a", as_bytes("x")).value() == 57);
    CHECK(as_text(get_object(*vault.core, ObjectKind::point, "points/a").value()) == "x");
    CHECK(get_object(*vault.core, ObjectKind::point, "points/b").error().code == Errc::not_found);
}

TEST_CASE("vault/object: what was damaged on its way is read again") {
    MemoryStore store;
    {
        test::VaultLab lab{store};
        REQUIRE(lab.backup({{"vda", Bytes(test::VaultLab::chunk_bytes, std::byte{1})}}));
    }
    for (const auto fault : {fakes::Fault::flip, fakes::Fault::short_read}) {
        fakes::FaultStore sound{store};
        test::VaultLab reader{sound};
        const std::size_t opened = sound.calls();
        REQUIRE(reader.vault().points().value().size() == 1);
        for (std::size_t call = opened; call < sound.calls(); ++call) {
            CAPTURE(call);
            fakes::FaultStore faulty{store, fault, call};
            test::VaultLab lab{faulty};
            CHECK(lab.vault().point_list().value().points.size() == 1);
        }
    }
}
