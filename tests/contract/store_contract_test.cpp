// What every BlockStore must do; each store runs the same cases. Built twice: for the stores that
// need nothing around them, and for an object store that tests/vm/test_s3.py starts.
#include <doctest/doctest.h>

#include <cstdlib>
#include <optional>
#include <thread>

#include "env/files.hpp"
#include "env/random.hpp"
#include "fakes/fault_store.hpp"
#include "vault/local_store.hpp"
#include "vault/memory_store.hpp"
#include "vault/object_names.hpp"
#include "vault/vault.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;

namespace {

struct Memory {
    MemoryStore store;
};
struct Local {
    env::TemporaryFolder folder = env::TemporaryFolder::create("/tmp", "sp-store-").value();
    env::SystemClock clock;
    std::unique_ptr<LocalStore> made = LocalStore::open(folder.path() / "vault", clock).value();
    BlockStore& store = *made;
};
struct NoFault {
    MemoryStore memory;
    fakes::FaultStore store{memory};
};

#ifdef STILLPOINT_TEST_S3
/// A prefix of its own in the bucket STILLPOINT_S3_BUCKET; the rest is AWS_*.
struct ObjectStore {
    std::unique_ptr<BlockStore> made =
        open_store("s3://" + std::string(std::getenv("STILLPOINT_S3_BUCKET")) + "/" +
                   env::random_hex(8))
            .value();
    BlockStore& store = *made;
};
#endif

Bytes read_all(BlockStore& store, const std::string& name) {
    return store.get(name, ByteOffset{0}, store.size(name).value()).value();
}

}  // namespace

#ifdef STILLPOINT_TEST_S3
#define STORES ObjectStore
#else
#define STORES Memory, Local, NoFault
#endif

TEST_CASE_TEMPLATE("contract/store: what was put is there, whole and in parts", S, STORES) {
    S s;
    REQUIRE(s.store.put("packs/ab/one", as_bytes("0123456789")));
    CHECK(s.store.size("packs/ab/one").value() == ByteCount{10});
    CHECK(as_text(read_all(s.store, "packs/ab/one")) == "0123456789");
    CHECK(as_text(s.store.get("packs/ab/one", ByteOffset{3}, ByteCount{4}).value()) == "3456");
    CHECK(s.store.get("packs/ab/one", ByteOffset{10}, ByteCount{0}).value().empty());
    REQUIRE(s.store.put("config", {}));
    CHECK(s.store.size("config").value() == ByteCount{0});
}

TEST_CASE_TEMPLATE("contract/store: the end of an object tells how long all of it is", S, STORES) {
    S s;
    const std::string content = "0123456789";
    REQUIRE(s.store.put("packs/ab/one", as_bytes(content)));
    for (const std::size_t most : {0u, 1u, 4u, 9u, 10u, 11u, 100'000u}) {
        CAPTURE(most);
        const ObjectEnd end = s.store.get_end("packs/ab/one", ByteCount{most}).value();
        CHECK(end.size == ByteCount{content.size()});
        CHECK(as_text(end.bytes) ==
              content.substr(content.size() - std::min(most, content.size())));
        CHECK(end.is_whole() == (most >= content.size()));
    }
    REQUIRE(s.store.put("config", {}));
    const ObjectEnd none = s.store.get_end("config", ByteCount{5}).value();
    CHECK(none.is_whole());
    CHECK(none.bytes.empty());
    CHECK(s.store.get_end("missing", ByteCount{5}).error().code == Errc::not_found);
    CHECK(s.store.get_end("../a", ByteCount{5}).error().id == "store.name");
}

TEST_CASE_TEMPLATE("contract/store: what memory held before is no part of an answer", S, STORES) {
    S s;
    REQUIRE(s.store.put("a", as_bytes("0123456789")));
    for (const std::size_t had : {0u, 4u, 10u, 100u}) {
        CAPTURE(had);
        for (const std::uint64_t length : {0ull, 1ull, 9ull}) {
            const auto got = s.store.get_reusing("a", ByteOffset{1}, ByteCount{length},
                                                 Bytes(had, std::byte{'x'}));
            CHECK(as_text(got.value()) == std::string{"123456789"}.substr(0, length));
        }
        CHECK(s.store.get_reusing("a", ByteOffset{1}, ByteCount{10}, Bytes(had)).error().id ==
              "store.short");
    }
}

TEST_CASE_TEMPLATE("contract/store: reading past the end is damage, never a shorter answer", S,
                   STORES) {
    S s;
    REQUIRE(s.store.put("a", as_bytes("0123456789")));
    for (const auto& [at, length] :
         {std::pair{0ull, 11ull}, {10ull, 1ull}, {11ull, 0ull}, {~0ull, 2ull}, {1ull, ~0ull}}) {
        const auto got = s.store.get("a", ByteOffset{at}, ByteCount{length});
        REQUIRE_FALSE(got);
        CHECK(got.error().code == Errc::corrupt);
        CHECK(got.error().id == "store.short");
    }
}

TEST_CASE_TEMPLATE("contract/store: a name is written once", S, STORES) {
    S s;
    REQUIRE(s.store.put("a", as_bytes("first")));
    const Status again = s.store.put("a", as_bytes("second"));
    REQUIRE_FALSE(again);
    CHECK(again.error().code == Errc::busy);
    CHECK(again.error().id == "store.exists");
    CHECK(as_text(read_all(s.store, "a")) == "first");
}

TEST_CASE_TEMPLATE("contract/store: what is not there is not_found; removing it is success", S,
                   STORES) {
    S s;
    CHECK(s.store.get("runs/a", ByteOffset{0}, ByteCount{1}).error().code == Errc::not_found);
    CHECK(s.store.size("runs/a").error().code == Errc::not_found);
    CHECK(s.store.remove("runs/a"));
    REQUIRE(s.store.put("runs/a", as_bytes("x")));
    CHECK(s.store.remove("runs/a"));
    CHECK(s.store.size("runs/a").error().code == Errc::not_found);
    CHECK(s.store.put("runs/a", as_bytes("y")));
}

TEST_CASE_TEMPLATE("contract/store: lists by prefix, sorted, with sizes, and no half-written names",
                   S, STORES) {
    S s;
    for (const char* name : {"packs/ff/b", "packs/ab/c", "packs/ab/a", "points/p", "config"}) {
        REQUIRE(s.store.put(name, as_bytes(name)));
    }
    const auto names_of = [&](const std::string& prefix) {
        std::string all;
        const auto objects = s.store.list(prefix).value();
        for (const auto& object : objects) {
            CHECK(object.size == ByteCount{object.name.size()});
            all += object.name + " ";
        }
        return all;
    };
    CHECK(names_of("packs/") == "packs/ab/a packs/ab/c packs/ff/b ");
    CHECK(names_of("packs/ab/") == "packs/ab/a packs/ab/c ");
    CHECK(names_of("packs/a") == "packs/ab/a packs/ab/c ");
    CHECK(names_of("po") == "points/p ");
    CHECK(names_of("") == "config packs/ab/a packs/ab/c packs/ff/b points/p ");
    CHECK(names_of("runs/").empty());
}

TEST_CASE_TEMPLATE("contract/store: refuses names that could leave the vault", S, STORES) {
    S s;
    for (const char* name :
         {"", "/a", "a/", "a//b", "..", "../a", "a/../b", ".", "A", "a b", "a\n"}) {
        CAPTURE(name);
        CHECK(s.store.put(name, {}).error().id == "store.name");
        CHECK(s.store.get(name, ByteOffset{0}, ByteCount{0}).error().id == "store.name");
        CHECK(s.store.size(name).error().id == "store.name");
        CHECK(s.store.remove(name).error().id == "store.name");
    }
    CHECK(s.store.put(std::string(256, 'a'), {}).error().id == "store.name");
}

TEST_CASE_TEMPLATE("contract/store: of many threads putting one name exactly one succeeds", S,
                   STORES) {
    S s;
    std::array<bool, 4> won{};
    std::vector<std::thread> threads;
    for (std::size_t i = 0; i < won.size(); ++i) {
        threads.emplace_back([&, i] {
            const Bytes bytes(100'000, static_cast<std::byte>(i));
            for (int n = 0; n < 20; ++n) {
                (void)s.store.put("packs/" + std::to_string(i) + "/" + std::to_string(n), bytes);
            }
            won[i] = s.store.put("points/one", bytes).has_value();
        });
    }
    for (auto& thread : threads) thread.join();
    CHECK(std::count(won.begin(), won.end(), true) == 1);
    const Bytes kept = read_all(s.store, "points/one");
    CHECK(won.at(std::to_integer<std::size_t>(kept[0])));
    CHECK(kept == Bytes(100'000, kept[0]));
    CHECK(s.store.list("packs/").value().size() == 80);
}

#ifdef STILLPOINT_TEST_S3
TEST_CASE("contract/store: a list of more than one page is whole") {
    ObjectStore s;
    constexpr std::size_t count = 1100;  // a page has 1000
    std::vector<std::thread> threads;
    for (std::size_t part = 0; part < 4; ++part) {
        threads.emplace_back([&, part] {
            for (std::size_t n = part; n < count; n += 4) {
                CHECK(s.store.put("index/" + std::to_string(n), {}));
            }
        });
    }
    for (auto& thread : threads) thread.join();
    const auto all = s.store.list("index/");
    REQUIRE(all);
    CHECK(all->size() == count);
    CHECK(std::adjacent_find(all->begin(), all->end(), [](const auto& a, const auto& b) {
              return a.name >= b.name;
          }) == all->end());
}
#endif
