#include "route/configuration.hpp"

#include <doctest/doctest.h>
#include <sys/stat.h>

#include <algorithm>
#include <fstream>

#include "base/hex.hpp"
#include "chunk/hash.hpp"
#include "route/restore_configuration.hpp"
#include "support/vault_damage.hpp"
#include "support/vault_lab.hpp"

using namespace stillpoint;
using namespace stillpoint::route;
using hypervisor::ConfigurationPlace;
using serialization::ConfigurationKind;
using test::VaultLab;

namespace {

/// The files of a VM with UEFI and a TPM, a vault, and a folder to restore to.
struct World {
    World() {
        std::filesystem::create_directories(at("tpm2"));
        write("vars.fd", std::string(3 * VaultLab::chunk_bytes + 100, 'v'));
        write("tpm2/tpm2-00.permall", "secret seeds");
        write("tpm2/.lock", "");
    }
    [[nodiscard]] env::Path at(const std::string& name) const { return folder.path() / name; }
    void write(const std::string& name, const std::string& text) const {
        std::ofstream{at(name), std::ios::binary} << text;
    }
    [[nodiscard]] std::vector<ConfigurationPlace> places() const {
        return {{.kind = ConfigurationKind::nvram, .path = at("vars.fd")},
                {.kind = ConfigurationKind::tpm,
                 .path = at("tpm2"),
                 .holds = ConfigurationPlace::Holds::folder}};
    }
    /// A point of one disk with what lies at the places.
    vault::Point back_up(std::vector<ConfigurationFile> files) {
        PointDocument document;
        document.definition = "<domain/>";
        vault::Point point;
        point.id = lab.new_id();
        point.vm_name = "vm";
        const auto run = lab.vault().begin_run(point.id).value();
        point.disks = store_configuration(*run, files, VaultLab::chunk_bytes).value();
        for (auto& file : files) document.configuration.push_back(file.document);
        point.document = encode_point_document(document);
        REQUIRE(run->flush());
        REQUIRE(run->publish(point));
        return point;
    }
    [[nodiscard]] env::Path restored(const std::string& name) const { return at("out") / name; }
    Status restore(const vault::Point& point) {
        SP_TRY(env::make_folders(at("out"), 0755));
        SP_ASSIGN(const auto loaded, load_configuration(lab.vault(), point, at("out")));
        damage = loaded.damage;
        return write_configuration(loaded);
    }
    [[nodiscard]] std::string text(const env::Path& file) const {
        return std::string{as_text(env::read_file(file, 1u << 20).value())};
    }

    env::TemporaryFolder folder =
        env::TemporaryFolder::create(std::filesystem::temp_directory_path(), "sp-config-").value();
    vault::MemoryStore store;
    VaultLab lab{store};
    std::vector<serialization::Damage> damage;
};

constexpr env::Nanoseconds far_future = std::chrono::hours{24 * 365 * 200};

std::string reason_of(const ConfigurationPlace& place) {
    const auto files = read_places({place}, far_future);
    REQUIRE(files.size() == 1);
    CHECK(files[0].content.empty());
    return files[0].document.reason;
}

}  // namespace

TEST_CASE("route/configuration: a VM without any is recorded as before there was this") {
    PointDocument document;
    document.definition = "<domain/>";
    const auto value = serialization::parse_cbor(encode_point_document(document)).value();
    CHECK(value.find("configuration") == nullptr);
    CHECK(value.find("disks") != nullptr);
    CHECK(decode_point_document(encode_point_document(document))->configuration.empty());
}

TEST_CASE("route/configuration: the record of each file survives, with what was not taken") {
    PointDocument document;
    document.configuration = {{.kind = ConfigurationKind::nvram,
                               .name = "nvram.fd",
                               .path = "/n/v",
                               .root = "@nvram",
                               .bytes = 7,
                               .sha256 = "aa"},
                              {.kind = ConfigurationKind::tpm, .reason = "passthrough"}};
    const auto read = decode_point_document(encode_point_document(document));
    REQUIRE(read);
    REQUIRE(read->configuration.size() == 2);
    CHECK(read->configuration[0].root == "@nvram");
    CHECK(read->configuration[0].bytes == 7);
    CHECK(read->configuration[1].reason == "passthrough");
    const auto report = report_of({}, *read, 0);
    REQUIRE(report.configuration.size() == 2);
    CHECK(report.configuration[0].taken);
    CHECK_FALSE(report.configuration[1].taken);
}

TEST_CASE("route/configuration: what was taken comes back byte for byte, for its owner alone") {
    World world;
    const auto files = read_places(world.places(), far_future);
    REQUIRE(files.size() == 2);
    CHECK(files[1].document.name == "tpm/tpm2-00.permall");
    CHECK(files[1].document.note.empty());
    const vault::Point point = world.back_up(files);
    CHECK(point.disks.at(0).disk == "@nvram");
    CHECK(point.disks.at(1).disk == "@tpm");
    REQUIRE(world.restore(point));
    CHECK(world.text(world.restored("nvram.fd")) == world.text(world.at("vars.fd")));
    CHECK(world.text(world.restored("tpm/tpm2-00.permall")) == "secret seeds");
    CHECK(world.text(world.restored("domain.xml")) == "<domain/>");
    struct stat info {};
    REQUIRE(::stat(world.restored("tpm/tpm2-00.permall").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0600);
    REQUIRE(::stat(world.restored("tpm").c_str(), &info) == 0);
    CHECK((info.st_mode & 0777) == 0700);
    // Twice to the same place is fine, as long as it says the same.
    CHECK(world.restore(point));
    std::ofstream{world.restored("nvram.fd")} << "mine";
    CHECK(world.restore(point).error().id == "restore.exists");
    CHECK(world.text(world.restored("nvram.fd")) == "mine");
}

TEST_CASE("route/configuration: check and gc know the roots; damage is named, nothing written") {
    World world;
    const vault::Point point = world.back_up(read_places(world.places(), far_future));
    CHECK(world.lab.vault().check(vault::CheckDepth::read_data, {}, {})->damage.empty());
    REQUIRE(world.lab.vault().collect({}, {}, {}));
    world.lab.reopen();
    REQUIRE(world.restore(point));
    CHECK(world.damage.empty());

    test::Saboteur{world.store, world.lab.clock()}.spoil_block(point.disks[0], 1);
    world.lab.reopen();
    std::filesystem::remove_all(world.at("out"));
    REQUIRE(world.restore(point));
    REQUIRE(world.damage.size() == 1);
    CHECK(world.damage[0].disk == "@nvram");
    CHECK_FALSE(std::filesystem::exists(world.restored("nvram.fd")));
    CHECK(std::filesystem::exists(world.restored("tpm/tpm2-00.permall")));
    const auto found = world.lab.vault().check(vault::CheckDepth::read_data, {}, {});
    CHECK(std::any_of(found->damage.begin(), found->damage.end(),
                      [](const auto& damage) { return damage.disk == "@nvram"; }));
}

TEST_CASE("route/configuration: a document that names files elsewhere is damage") {
    World world;
    auto files = read_places(world.places(), far_future);
    files[0].document.name = "../nvram.fd";
    files[1].document.name = "tpm/../../x";
    REQUIRE(world.restore(world.back_up(files)));
    CHECK(world.damage.size() == 2);
    CHECK_FALSE(std::filesystem::exists(world.at("nvram.fd")));
}

TEST_CASE("route/configuration: what cannot be had gives its reason") {
    const World world;
    std::filesystem::create_symlink(world.at("vars.fd"), world.at("link"));
    CHECK(reason_of({.path = world.at("link")}).find("symbolic link") != std::string::npos);
    CHECK(reason_of({.path = world.at("gone")}).find("gone") != std::string::npos);
    CHECK(reason_of({.path = world.at("vars.fd"), .obstacle = "why"}) == "why");
    std::filesystem::create_directories(world.at("none"));
    const auto folder = ConfigurationPlace::Holds::folder;
    CHECK(reason_of({.path = world.at("none"), .holds = folder}).find("empty") !=
          std::string::npos);
    world.write("none/a b", "x");
    CHECK(reason_of({.path = world.at("none"), .holds = folder}).find("unusual") !=
          std::string::npos);
    std::filesystem::resize_file(world.at("vars.fd"), nvram_bytes_max + 1);
    CHECK(reason_of({.path = world.at("vars.fd")}).find("more than") != std::string::npos);
}

TEST_CASE("route/configuration: two flash chips have two names, and a late write is noted") {
    const World world;
    const auto files =
        read_places({{.path = world.at("vars.fd")}, {.path = world.at("vars.fd")}}, {});
    REQUIRE(files.size() == 2);
    CHECK(files[0].document.name == "nvram.fd");
    CHECK(files[1].document.name == "nvram-2.fd");
    CHECK(files[0].document.note.find("after the snapshot") != std::string::npos);
}
