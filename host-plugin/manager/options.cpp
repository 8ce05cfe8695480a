#include "manager/options.hpp"

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <functional>
#include <iostream>

#include "serialization/requests.hpp"
#include "serialization/retention.hpp"

namespace stillpoint::manager {
namespace {

namespace s = serialization;

/// All that any command can be given; each command makes its request from it.
struct Given {
    std::string vault, key_file, new_key_file, key_id, vm, connect, qmp, guest_channel, point, to,
        against, disk, nvram;
    std::string encryption = "passphrase", compression = "zstd", require = "crash", type = "full",
                format = "qcow2", scratch;
    std::uint32_t chunk_bytes = 65536;
    std::uint64_t bandwidth = 0;
    std::vector<std::string> disks, images, points, vms;
    std::string policy;
    s::RetentionRules keep;
    bool full = false, read_data = false, no_freeze = false, no_config = false, dry_run = false,
         extents = false, read_maps = false, without_key = false;

    [[nodiscard]] s::VaultAccess access() const { return {vault, key_file}; }
    [[nodiscard]] s::VmAccess machine() const {
        return {vm, connect, qmp, guest_channel, images, nvram};
    }
};

template <class E>
E parsed(const std::string& text) {
    // CLI11 checked the text against the table's names before.
    return *parse_enum(text, static_cast<const E*>(nullptr));
}

template <class Table>
CLI::Validator one_of(const Table& table) {
    std::vector<std::string> names;
    names.reserve(table.size());
    for (const auto& entry : table) names.emplace_back(entry.second);
    return CLI::IsMember(names);
}

template <class Request>
s::Value with_kind(const Request& request) {
    s::Value document = s::to_value(request);
    (*document.map())["kind"] = Request::kind;
    return document;
}

class Parser {
public:
    Parser()
        : app_("Backs up running QEMU/KVM virtual machines into an encrypted vault.",
               "stillpoint") {
        app_.require_subcommand(1);
        app_.set_version_flag("--version", STILLPOINT_VERSION);
        app_.add_option("--plugin", command_.plugin, "the host plugin to load (a shared object)");
        app_.add_option("--config", command_.config,
                        "host configuration (default /etc/stillpoint/host.xml)");
        app_.fallthrough();
        app_.add_flag("--json", command_.json, "print one JSON document on stdout");
        app_.add_flag("-v,--verbose", command_.verbosity,
                      "log more to stderr; twice for debugging");
        app_.add_option("--vault", given_.vault,
                        "the vault: file:///PATH or a path (default $STILLPOINT_VAULT)");
        app_.add_option("--key-file", given_.key_file,
                        "file with the passphrase (first line) or the raw key "
                        "(default $STILLPOINT_KEY_FILE)");
        add_vault();
        add_backup();
        add_points();
        add_restore();
        add_guest();
    }

    ParseOutcome parse(int argc, const char* const* argv) {
        try {
            app_.parse(argc, argv);
            settle_access();
            if (make_) command_.request = make_();
        } catch (const CLI::ParseError& error) {
            const int code = app_.exit(error, std::cout, std::cerr);
            return {std::nullopt, code == 0 ? 0 : 2};
        }
        return {std::move(command_), 0};
    }

private:
    using Make = std::function<s::Value()>;

    CLI::App* add(CLI::App& parent, const std::string& name, const std::string& about, Make make) {
        CLI::App* sub = parent.add_subcommand(name, about);
        // Of a command within a command the inner one counts; the outer one is called after it.
        sub->callback([this, sub, make = std::move(make)] {
            if (sub->get_subcommands().empty()) make_ = make;
        });
        return sub;
    }

    /// Commands that work on a vault but do not name it as their argument.
    void need_vault(CLI::App* sub) { needs_vault_.push_back(sub); }

    /// What was typed counts first. CLI11's own environment variables are not used: it reads them
    /// for commands that were not chosen too, over what was typed.
    void settle_access() {
        if (!url_.empty()) given_.vault = url_;
        if (given_.vault.empty()) given_.vault = from_environment("STILLPOINT_VAULT");
        if (given_.key_file.empty()) given_.key_file = from_environment("STILLPOINT_KEY_FILE");
        for (const CLI::App* sub : needs_vault_) {
            if (sub->parsed() && given_.vault.empty()) {
                throw CLI::ValidationError("--vault",
                                           "is missing; give it or set STILLPOINT_VAULT");
            }
        }
    }

    static std::string from_environment(const char* name) {
        const char* value = std::getenv(name);
        return value == nullptr ? std::string{} : std::string{value};
    }

    void add_vault() {
        CLI::App* vault = app_.add_subcommand("vault", "make, check and measure vaults");
        vault->require_subcommand(1);
        CLI::App* init = add(*vault, "init", "create an empty vault", [this] {
            const auto encryption = parsed<s::VaultEncryption>(given_.encryption);
            command_.wants_new_passphrase =
                encryption == s::VaultEncryption::passphrase && given_.key_file.empty();
            return with_kind(s::VaultInitRequest{.vault = given_.vault,
                                                 .encryption = encryption,
                                                 .key_file = given_.key_file,
                                                 .chunk_bytes = given_.chunk_bytes,
                                                 .compression = given_.compression});
        });
        add_url(init);
        init->add_option("--encryption", given_.encryption, "how the vault's key is kept")
            ->check(one_of(s::vault_encryption_names))
            ->capture_default_str();
        init->add_option("--chunk-bytes", given_.chunk_bytes, "chunk size, a power of two")
            ->check(CLI::Range(16384, 1048576))
            ->capture_default_str();
        init->add_option("--compression", given_.compression, "compression of chunks")
            ->check(CLI::IsMember({"zstd", "lz4", "none"}))
            ->capture_default_str();
        CLI::App* check = add(*vault, "check", "look for damage", [this] {
            return with_kind(
                s::VaultCheckRequest{given_.access(), given_.read_data, given_.without_key});
        });
        add_url(check);
        check->add_flag("--read-data", given_.read_data, "read and authenticate every stored byte");
        check->add_flag("--without-key", given_.without_key,
                        "use no key: prove every pack by its name, and what else proves itself");
        CLI::App* gc = add(*vault, "gc", "free what no recovery point needs", [this] {
            return with_kind(s::VaultGcRequest{given_.access(), given_.dry_run});
        });
        add_url(gc);
        gc->add_flag("--dry-run", given_.dry_run, "say what would be freed and change nothing");
        CLI::App* repair =
            add(*vault, "repair", "rebuild the index, and bring lost recovery points back", [this] {
                return with_kind(
                    s::VaultRepairRequest{given_.access(), given_.dry_run, given_.read_data});
            });
        add_url(repair);
        repair->add_flag("--read-data", given_.read_data,
                         "read every pack, and save what is whole in damaged ones");
        repair->add_flag("--dry-run", given_.dry_run, "say what would be done and change nothing");
        CLI::App* stats = add(*vault, "stats", "sizes and counts", [this] {
            return with_kind(
                s::VaultStatsRequest{given_.access(), given_.read_maps, given_.points});
        });
        add_url(stats);
        stats->add_flag("--read-maps", given_.read_maps,
                        "tell the deduplication ratio, which takes a look at every block map");
        stats
            ->add_option("--forget", given_.points,
                         "tell what forgetting this point would free (repeatable: together)")
            ->allow_extra_args(false);
        add_keys(vault->add_subcommand("key", "list and change the keys that open a vault"));
    }

    void add_keys(CLI::App* key) {
        key->require_subcommand(1);
        add_key_action(key, s::KeyAction::list, "which keys there are, and which one was given");
        add_new_key(add_key_action(key, s::KeyAction::add, "let one more key open the vault"));
        add_new_key(add_key_action(key, s::KeyAction::rotate,
                                   "put a new key in the place of the one given"));
        CLI::App* remove = add_key_action(key, s::KeyAction::remove,
                                          "take a key away; open with another one that stays");
        remove->add_option("--id", given_.key_id, "the key's id, 8 hex digits")->required();
    }

    CLI::App* add_key_action(CLI::App* key, s::KeyAction action, const std::string& about) {
        CLI::App* sub = add(*key, std::string{name_of(action)}, about, [this, action] {
            return with_kind(s::VaultKeyRequest{.vault = given_.access(),
                                                .action = action,
                                                .id = given_.key_id,
                                                .new_key_file = given_.new_key_file});
        });
        add_url(sub);
        return sub;
    }

    void add_new_key(CLI::App* sub) {
        sub->add_option("--new-key-file", given_.new_key_file,
                        "file with the new passphrase (first line) or the new raw key, which is "
                        "made if absent (default: a passphrase typed at the terminal)");
    }

    void add_url(CLI::App* sub) {
        sub->add_option("URL", url_, "the vault: file:///PATH or a path (default: --vault)");
        need_vault(sub);
    }

    void add_machine(CLI::App* sub) {
        sub->add_option("VM", given_.vm, "name or uuid; with --qmp or --image a label")->required();
        add_hypervisor(sub);
        sub->add_option("--guest-channel", given_.guest_channel,
                        "host socket of the port org.stillpoint.guest.0 (plain QEMU)");
    }

    void add_hypervisor(CLI::App* sub) {
        auto* connect =
            sub->add_option("--connect", given_.connect, "libvirt URI (default qemu:///system)");
        sub->add_option("--qmp", given_.qmp, "QMP socket of a plain QEMU, a monitor of its own")
            ->excludes(connect);
    }

    void add_scratch(CLI::App* sub) {
        sub->add_option("--scratch", given_.scratch, "folder for scratch files, reachable by QEMU");
    }

    void add_backup() {
        CLI::App* backup = add(app_, "backup", "make a recovery point of a VM", [this] {
            return with_kind(s::BackupRequest{.vault = given_.access(),
                                              .vm = given_.machine(),
                                              .disks = given_.disks,
                                              .full = given_.full,
                                              .require = parsed<s::Level>(given_.require),
                                              .type = parsed<s::BackupType>(given_.type),
                                              .scratch_folder = given_.scratch,
                                              .bandwidth = given_.bandwidth});
        });
        add_machine(backup);
        need_vault(backup);
        backup
            ->add_option("--image", given_.images,
                         "a disk of a plain QEMU that is off, NAME=PATH or NAME=FORMAT:PATH "
                         "(repeatable)")
            ->allow_extra_args(false)
            ->excludes(backup->get_option("--connect"))
            ->excludes(backup->get_option("--qmp"));
        backup
            ->add_option("--nvram", given_.nvram,
                         "the file of UEFI variables of a plain QEMU that is off")
            ->needs(backup->get_option("--image"));
        backup->add_option("--disk", given_.disks, "only this disk (repeatable)");
        backup->add_flag("--full", given_.full, "read and keep everything anew");
        backup->add_option("--require", given_.require, "fail below this consistency level")
            ->check(one_of(s::level_names))
            ->capture_default_str();
        backup->add_option("--type", given_.type, "VSS backup type (Windows guests)")
            ->check(one_of(s::backup_type_names))
            ->capture_default_str();
        add_scratch(backup);
        backup
            ->add_option("--bandwidth", given_.bandwidth,
                         "read at most so much per second, all disks together (50MiB)")
            ->transform(CLI::AsSizeValue(false))
            ->check(CLI::Range(std::uint64_t{64} << 10, std::uint64_t{1} << 50));
    }

    void add_points() {
        CLI::App* points = add(app_, "points", "list recovery points", [this] {
            return with_kind(s::PointsRequest{given_.access(), given_.vm});
        });
        points->add_option("VM", given_.vm, "name or uuid (default: all)");
        need_vault(points);
        CLI::App* diff = add(*points, "diff", "what changed between two recovery points", [this] {
            return with_kind(s::PointsDiffRequest{given_.access(), given_.points.at(0),
                                                  given_.points.at(1), given_.extents});
        });
        diff->add_option("POINTS", given_.points, "the earlier and the later one")
            ->required()
            ->expected(2);
        diff->add_flag("--extents", given_.extents, "list what differs on every disk");
        CLI::App* confirm =
            add(*points, "confirm", "keep points that `vault repair` brought back", [this] {
                return with_kind(s::PointsConfirmRequest{given_.access(), given_.points});
            });
        confirm->add_option("POINT", given_.points, "ids, prefixes or VM@latest")->required();
        CLI::App* show = add(app_, "show", "everything about one recovery point", [this] {
            return with_kind(s::ShowRequest{given_.access(), given_.point});
        });
        add_point(show);
        add_verify();
        CLI::App* forget = add(app_, "forget", "drop recovery points (gc frees the space)", [this] {
            return with_kind(s::ForgetRequest{given_.access(), given_.points});
        });
        forget->add_option("POINT", given_.points, "ids, prefixes or VM@latest")->required();
        need_vault(forget);
        add_prune();
    }

    void add_prune() {
        CLI::App* prune =
            add(app_, "prune", "forget the recovery points that no rule keeps", [this] {
                return with_kind(s::PruneRequest{given_.access(), given_.vms, given_.keep,
                                                 given_.policy, given_.dry_run});
            });
        prune->add_option("VM", given_.vms, "names or uuids (default: all)");
        prune->add_option("--policy", given_.policy,
                          "a file with <retention> rules, instead of the host configuration");
        const auto count = [&](const char* name, std::uint32_t& into, const char* what) {
            prune->add_option(name, into, what)
                ->check(CLI::Range(0, 9999))
                ->excludes(prune->get_option("--policy"));
        };
        count("--keep-last", given_.keep.last, "the newest so many points of each VM");
        count("--keep-hourly", given_.keep.hourly, "the newest of each of so many hours");
        count("--keep-daily", given_.keep.daily, "the newest of each of so many days");
        count("--keep-weekly", given_.keep.weekly, "the newest of each of so many weeks");
        count("--keep-monthly", given_.keep.monthly, "the newest of each of so many months");
        count("--keep-yearly", given_.keep.yearly, "the newest of each of so many years");
        prune
            ->add_option("--keep-within", given_.keep.within,
                         "all of so long before a VM's newest point (36h, 30d, 8w)")
            ->excludes(prune->get_option("--policy"));
        prune->add_option("--zone", given_.keep.zone,
                          "whose midnight parts days (Europe/Berlin; default UTC)");
        prune->add_flag("--dry-run", given_.dry_run, "say what would be done");
        need_vault(prune);
    }

    void add_verify() {
        CLI::App* verify =
            add(app_, "verify",
                "prove a recovery point, or compare it with a file or the live disk", [this] {
                    return with_kind(s::VerifyRequest{.vault = given_.access(),
                                                      .point = given_.point,
                                                      .disk = given_.disk,
                                                      .against = given_.against,
                                                      .vm = given_.machine(),
                                                      .scratch_folder = given_.scratch});
                });
        add_point(verify);
        verify->add_option("--disk", given_.disk, "only this disk");
        verify->add_option("--against", given_.against,
                           "a raw or qcow2 file to compare with, or live");
        add_hypervisor(verify);
        add_scratch(verify);
    }

    void add_point(CLI::App* sub) {
        sub->add_option("POINT", given_.point, "id, a prefix of 8 digits or more, or VM@latest")
            ->required();
        need_vault(sub);
    }

    void add_restore() {
        CLI::App* restore = add(app_, "restore", "write the disks of a recovery point", [this] {
            return with_kind(s::RestoreRequest{.vault = given_.access(),
                                               .point = given_.point,
                                               .to = given_.to,
                                               .disks = given_.disks,
                                               .format = parsed<s::ImageFormat>(given_.format),
                                               .configuration = !given_.no_config});
        });
        add_point(restore);
        restore->add_option("--to", given_.to, "folder for the images and the configuration")
            ->required();
        restore->add_option("--disk", given_.disks, "only this disk (repeatable)");
        restore->add_option("--format", given_.format, "image format")
            ->check(one_of(s::image_format_names))
            ->capture_default_str();
        restore->add_flag("--no-config", given_.no_config,
                          "leave out domain.xml, UEFI variables and TPM state");
    }

    void add_guest() {
        CLI::App* guest = app_.add_subcommand("guest", "the extension inside a VM");
        guest->require_subcommand(1);
        CLI::App* status = add(*guest, "status", "ask the extension how it is", [this] {
            return with_kind(s::GuestStatusRequest{given_.machine()});
        });
        add_machine(status);
        CLI::App* doctor = add(*guest, "doctor", "have the extension examine its machine", [this] {
            return with_kind(s::GuestDoctorRequest{given_.machine(), !given_.no_freeze});
        });
        add_machine(doctor);
        doctor->add_flag("--no-freeze", given_.no_freeze, "do not freeze anything for a try");
    }

    CLI::App app_;
    CommandLine command_;
    Given given_;
    std::string url_;  // the argument of `vault …`
    Make make_;
    std::vector<const CLI::App*> needs_vault_;
};

}  // namespace

ParseOutcome parse_command_line(int argc, const char* const* argv) {
    return Parser{}.parse(argc, argv);
}

}  // namespace stillpoint::manager
