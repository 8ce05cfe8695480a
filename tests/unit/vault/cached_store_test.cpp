// A cache of metadata: what it saves, what it never answers, and that nothing in it is trusted.
#include "vault/cached_store.hpp"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>

#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::vault;
using test::VaultLab;
namespace fs = std::filesystem;

namespace {

constexpr std::size_t block = VaultLab::chunk_bytes;

/// Counts what goes to the store below. @threads one
class Counted final : public BlockStore {
public:
    explicit Counted(BlockStore& below) : below_(below) {}
    Status put(const std::string& name, ByteView bytes) override { return below_.put(name, bytes); }
    Result<Bytes> get(const std::string& name, ByteOffset at, ByteCount length) override {
        asked.push_back("get " + name);
        return below_.get(name, at, length);
    }
    Result<ByteCount> size(const std::string& name) override {
        asked.push_back("size " + name);
        return below_.size(name);
    }
    Result<std::vector<ObjectInfo>> list(const std::string& prefix) override {
        asked.push_back("list " + prefix);
        return below_.list(prefix);
    }
    Status remove(const std::string& name) override { return below_.remove(name); }
    [[nodiscard]] std::string describe() const override { return "store"; }
    std::vector<std::string> asked;

private:
    BlockStore& below_;
};

struct Folder {
    Folder() : path(fs::temp_directory_path() / ("stillpoint-cache-" + env::random_hex(8))) {}
    ~Folder() { fs::remove_all(path); }
    Folder(const Folder&) = delete;
    Folder& operator=(const Folder&) = delete;
    [[nodiscard]] std::vector<fs::path> files() const {
        std::vector<fs::path> all;
        for (const auto& entry : fs::recursive_directory_iterator{path}) {
            if (entry.is_regular_file()) all.push_back(entry.path());
        }
        return all;
    }
    fs::path path;
};

/// A process of its own with the cache; the store below it is shared.
struct Host {
    Host(BlockStore& store, const Folder& folder) {
        auto below = std::make_unique<Counted>(store);
        counted = below.get();
        cached = std::make_unique<CachedStore>(std::move(below),
                                               DiskCache::Limits{folder.path, 64u << 20});
    }
    Counted* counted = nullptr;
    std::unique_ptr<CachedStore> cached;
};

std::size_t count_of(const std::vector<std::string>& asked, const std::string& start) {
    return static_cast<std::size_t>(
        std::ranges::count_if(asked, [&](const auto& call) { return call.starts_with(start); }));
}

void overwrite(const fs::path& file, const std::string& text) {
    std::ofstream{file, std::ios::binary | std::ios::trunc} << text;
}

const std::vector<VaultLab::Disk> disks{{"vda", test::random_disk(40 * block, 1)}};

}  // namespace

TEST_CASE("vault/cache: the second look at points asks for lists alone") {
    MemoryStore store;
    VaultLab lab{store};
    const Point point = lab.backup(disks).value();
    Folder folder;
    {
        Host host{store, folder};
        VaultLab first{*host.cached};
        CHECK(first.vault().points().value().size() == 1);
        CHECK(count_of(host.counted->asked, "get points/") == 1);
    }
    Host host{store, folder};
    VaultLab second{*host.cached};
    const auto points = second.vault().points().value();
    REQUIRE(points.size() == 1);
    CHECK(points[0].disks == point.disks);
    CHECK(second.read(point.disks[0]).value() == disks[0].content);
    CHECK(count_of(host.counted->asked, "get points/") == 0);
    CHECK(count_of(host.counted->asked, "get index/") == 0);
    CHECK(count_of(host.counted->asked, "size points/") == 0);
    CHECK(count_of(host.counted->asked, "list points/") == 1);
}

TEST_CASE(
    "vault/cache: the end of a pack is kept, and that of an object that no list has named is not "
    "trusted to be there") {
    MemoryStore store;
    const Bytes pack = test::random_disk(3u << 20, 2), point = test::random_disk(100, 3);
    REQUIRE(store.put("packs/ab/long", pack));
    REQUIRE(store.put("packs/ab/short", point));
    REQUIRE(store.put("points/one", point));
    Folder folder;
    const auto look = [&](Host& host) {
        for (const std::size_t most : {200u, 2u << 20}) {
            const ObjectEnd end = host.cached->get_end("packs/ab/long", ByteCount{most}).value();
            CHECK(end.size == ByteCount{pack.size()});
            CHECK(end.bytes == Bytes(pack.end() - static_cast<std::ptrdiff_t>(most), pack.end()));
        }
        CHECK(host.cached->get_end("packs/ab/short", ByteCount{200}).value().bytes == point);
        CHECK(host.cached->get_end("points/one", ByteCount{200}).value().bytes == point);
    };
    Host first{store, folder};
    look(first);
    Host second{store, folder};
    look(second);
    CHECK(count_of(second.counted->asked, "size packs/") == 0);
    CHECK(count_of(second.counted->asked, "get packs/ab/short") == 0);
    CHECK(count_of(second.counted->asked, "get packs/ab/long") == 1);  // too long to be kept
    REQUIRE(store.remove("points/one"));
    CHECK(second.cached->get_end("points/one", ByteCount{200}).error().code == Errc::not_found);
}

TEST_CASE("vault/cache: what a backup wrote the next one need not fetch") {
    MemoryStore store;
    Folder folder;
    Host host{store, folder};
    VaultLab lab{*host.cached};
    const Point first = lab.backup(disks).value();
    Host again{store, folder};
    VaultLab next{*again.cached};
    auto changed = disks;
    std::fill_n(changed[0].content.begin() + 5 * block, block, std::byte{9});
    const Point second = next.backup(changed, &first, &disks).value();
    for (const std::string& call : again.counted->asked) CAPTURE(call);
    CHECK(count_of(again.counted->asked, "get packs/") == 0);
    CHECK(count_of(again.counted->asked, "get index/") == 0);
    VaultLab plain{store};
    CHECK(plain.read(second.disks[0]).value() == changed[0].content);
}

TEST_CASE("vault/cache: a point that another host forgot is not shown from the cache") {
    MemoryStore store;
    VaultLab lab{store};
    const Point point = lab.backup(disks).value();
    Folder folder;
    Host host{store, folder};
    VaultLab reader{*host.cached};
    CHECK(reader.vault().points().value().size() == 1);
    CHECK(lab.vault().forget(point.id));
    CHECK(reader.vault().points().value().empty());
    CHECK(reader.vault().point(point.id).error().id == "point.not_found");
}

TEST_CASE("vault/cache: a writer does not rely on a pack that only the cache has") {
    MemoryStore store;
    VaultLab lab{store};
    const Point point = lab.backup(disks).value();
    Folder folder;
    Host host{store, folder};
    VaultLab writer{*host.cached};
    CHECK(writer.read(point.disks[0]).value() == disks[0].content);
    // The index names them, their directories are kept, and they are gone.
    const auto packs = store.list("packs/").value();
    for (const ObjectInfo& pack : packs) CHECK(store.remove(pack.name));
    const Point again = writer.backup(disks).value();
    VaultLab plain{store};
    CHECK(plain.read(again.disks[0]).value() == disks[0].content);
}

TEST_CASE("vault/cache: damaged, cut and empty pieces are fetched again") {
    MemoryStore store;
    VaultLab lab{store};
    const Point point = lab.backup(disks).value();
    for (const char* rubbish : {"", "x", "rubbish that is longer than some of the pieces are"}) {
        Folder folder;
        {
            Host host{store, folder};
            VaultLab reader{*host.cached};
            CHECK(reader.vault().points());
            CHECK(reader.read(point.disks[0]));
        }
        const auto files = folder.files();
        REQUIRE(files.size() > 4);
        for (const fs::path& file : files) {
            const auto size = fs::file_size(file);
            overwrite(file, rubbish);
            if (*rubbish != '\0') fs::resize_file(file, size);  // of the right length, and wrong
        }
        Host host{store, folder};
        VaultLab reader{*host.cached};
        CHECK(reader.vault().points().value().size() == 1);
        CHECK(reader.read(point.disks[0]).value() == disks[0].content);
    }
}

TEST_CASE("vault/cache: a segment that is damaged behind its first page is fetched again") {
    MemoryStore store;
    VaultLab lab{store};
    const Point point = lab.backup(disks).value();
    Folder folder;
    {
        Host host{store, folder};
        VaultLab reader{*host.cached};
    }
    std::size_t flipped = 0;
    for (const fs::path& file : folder.files()) {
        std::fstream content{file, std::ios::binary | std::ios::in | std::ios::out};
        constexpr std::size_t header = 40, page = 4096;
        for (std::size_t at = header + page + 100; at < fs::file_size(file); at += page) {
            content.seekp(static_cast<std::streamoff>(at)).put('x');
            ++flipped;
        }
    }
    REQUIRE(flipped > 1);
    Host host{store, folder};
    VaultLab reader{*host.cached};
    CHECK(reader.read(point.disks[0]).value() == disks[0].content);
    CHECK(reader.vault().check(CheckDepth::structure, {}, {}).value().damage.empty());
}

TEST_CASE("vault/cache: damage in the store stays damage") {
    MemoryStore store;
    VaultLab lab{store};
    const Point point = lab.backup(disks).value();
    const std::string name = "points/" + point.id;
    Bytes bytes = store.get(name, ByteOffset{0}, store.size(name).value()).value();
    bytes.at(60) ^= std::byte{1};
    CHECK(store.remove(name));
    CHECK(store.put(name, bytes));
    Folder folder;
    Host host{store, folder};
    VaultLab reader{*host.cached};
    CHECK(reader.vault().point(point.id).error().code == Errc::corrupt);
    bytes.at(60) ^= std::byte{1};
    CHECK(store.remove(name));
    CHECK(store.put(name, bytes));
    CHECK(reader.vault().point(point.id));  // what a repair put there is seen
}

TEST_CASE("vault/cache: it stays below its size, and works when it cannot be written") {
    Folder folder;
    constexpr std::uint64_t bytes_max = 1u << 20;
    DiskCache cache{{folder.path, bytes_max}, "store"};
    const Bytes piece(64u << 10, std::byte{1});
    for (int n = 0; n < 40; ++n) cache.keep("packs/" + std::to_string(n), "whole", piece);
    std::uint64_t all = 0;
    for (const fs::path& file : folder.files()) all += fs::file_size(file);
    CHECK(all <= bytes_max);
    CHECK(all >= bytes_max / 2);
    CHECK(cache.find("packs/39", "whole") == piece);
    CHECK_FALSE(cache.find("packs/0", "whole"));
    CHECK(cache.drop("packs/39"));
    CHECK_FALSE(cache.drop("packs/39"));
    CHECK_FALSE(cache.find("packs/39", "whole"));
    fs::remove_all(folder.path);  // deleted under its feet
    cache.keep("points/a", "whole", piece);
    overwrite(folder.path, "a file in the place of the folder");
    DiskCache nowhere{{folder.path / "below", bytes_max}, "store"};
    nowhere.keep("points/a", "whole", piece);
    CHECK_FALSE(nowhere.find("points/a", "whole"));
}
