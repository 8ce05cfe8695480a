// vault init's look at a store that is somebody else's.
#include <doctest/doctest.h>

#include "fakes/fault_store.hpp"
#include "vault/init.hpp"
#include "vault/memory_store.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

/// Takes a put for done although the name is taken: an S3 that does not know If-None-Match.
struct Overwriting final : BlockStore {
    Status put(const std::string& name, ByteView bytes) override {
        SP_TRY(memory.remove(name));
        return memory.put(name, bytes);
    }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        return memory.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override { return memory.size(name); }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        return memory.list(prefix);
    }
    Status remove(const std::string& name) override { return memory.remove(name); }
    [[nodiscard]] std::string describe() const override { return "s3://x"; }
    MemoryStore memory;
};

}  // namespace

TEST_CASE("vault/prove_store: a good store passes, and keeps nothing of it") {
    MemoryStore store;
    CHECK(prove_store(store));
    CHECK(store.list("").value().empty());
}

TEST_CASE("vault/prove_store: one that overwrites is refused") {
    Overwriting store;
    const Status refused = prove_store(store);
    REQUIRE_FALSE(refused);
    CHECK(refused.error().code == Errc::unsupported);
    CHECK(refused.error().id == "vault.store_unsafe");
    CHECK(store.list("").value().empty());
}

TEST_CASE("vault/prove_store: errors are passed on, and what stays does not matter") {
    for (std::size_t call = 0; call < 4; ++call) {
        CAPTURE(call);
        MemoryStore memory;
        fakes::FaultStore store{memory, fakes::Fault::fail, call};
        const Status proven = prove_store(store);
        const bool removal = call == 3;  // of one that lets us only add
        CHECK(proven.has_value() == removal);
        if (!proven) CHECK(proven.error().id == "fake.fault");
    }
}
